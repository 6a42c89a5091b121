"""The records that every part of truing shares. Frozen, strict about unknown keys, and hashable by content.

These types hold data only: how text becomes tokens is `engine.chat`'s matter, how rows are read from files `data`'s.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from truing.core.digest import digest

Role = Literal["system", "user", "assistant"]


class Record(BaseModel):
    """A frozen value: equal contents are equal records, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def sha256(self) -> str:
        """The digest of the record's whole content."""
        return digest(self)


class Message(Record):
    """One turn of a conversation."""

    role: Role
    content: str


Conversation = tuple[Message, ...]


class Comparison(Record):
    """Two answers to one prompt, and which of them was preferred.

    `prompt` ends with a user turn. `group` and `topic` say what the row is about; `pair` joins a row with its twin
    (the same words, the opposite intent). What the comparison page knows about the judgement is kept beside it:
    who (`annotator`), on which side the chosen answer was shown, how strongly it was preferred (1 slightly … 3 much),
    ties, both-bad marks, a rewritten answer, when, and where the row came from (`origin`).
    """

    id: str
    prompt: Conversation
    chosen: str
    rejected: str
    group: str = ""
    topic: str = ""
    pair: str | None = None
    annotator: str | None = None
    chosen_side: Literal["left", "right"] | None = None
    strength: Literal[1, 2, 3] | None = None
    tie: bool = False
    both_bad: bool = False
    rewrite: str | None = None
    time: datetime | None = None
    origin: str | None = None


class Judged(Record):
    """One answer to a prompt, and whether somebody called it a good one: nothing was compared."""

    id: str
    prompt: Conversation
    completion: str
    good: bool


class Probe(Record):
    """A held-out item: a prompt that training never sees, with a reference answer and a worse one where they exist."""

    id: str
    group: str
    topic: str
    prompt: Conversation
    pair: str | None = None
    chosen: str | None = None
    rejected: str | None = None


class Decoding(Record):
    """How answers are drawn. Temperature 0 is greedy; seed and prompt fix a sampled answer, whatever the batch."""

    temperature: float = Field(default=0.0, ge=0)
    max_new_tokens: int = Field(default=48, ge=1)
    seed: int = 0


class System(Record):
    """What is measured: a model with everything that shapes its answers. A bare model is the simplest system.

    `model` is an alias, `hf:OWNER/NAME`, a folder or a GGUF file; `adapter` an artifact's id or a PEFT folder.
    """

    model: str
    adapter: str | None = None
    system_prompt: str | None = None
    decoding: Decoding = Decoding()


class Observation(Record):
    """What is known of an answer that a deployed model gave. It was so at that time; another time it may be otherwise.

    `time` is when it came (UTC), `reported_model` the name that the server told, `stop` its reason to end, as told
    (None: it told none). `replied` is False where no attempt brought an answer. Token counts are the server's, None
    where it told none: `output_tokens` are all that it wrote, thinking included; `thinking_tokens` that part, where it
    is told apart. `request` is what was sent beside the conversation.
    """

    time: datetime
    provider: str
    reported_model: str | None
    stop: str | None
    replied: bool
    attempts: int
    prompt_tokens: int | None
    output_tokens: int | None
    thinking_tokens: int | None
    request: Mapping[str, str | int | float | bool | None]


class Answer(Record):
    """A generated answer. `finished` is False where it was cut at the token limit (a cut answer is counted as such),
    and None where a deployed model did not say.

    `logprobs` are the sampled tokens' log-probabilities (nats); `least_gap` is the smallest difference between the best
    two logits along a greedy answer: below about 1e-3 another batch size may legitimately choose another token. Of a
    deployed model's answer, which is `observed`, tokens and gap are not known, and log-probabilities only where asked
    for. `missing` says why there is no whole answer by the model itself (the provider's filter, an empty reply, no
    reply): such a text is not to be judged.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: bool | None
    least_gap: float | None
    observed: Observation | None = None
    missing: str = ""


class Outcome(Record):
    """What a judge says of one answer: `value` is 1.0 (yes), 0.0 (no), or None where it cannot tell (never a "no").
    `detail` are numbers behind it: a rubric's marks, the probabilities of verdicts."""

    value: float | None
    reason: str = ""
    detail: Mapping[str, float | None] = {}


class Question(Record):
    """A text, and the continuations that are held against each other after it, each exactly as it follows the text (a
    leading space included)."""

    context: str
    choices: tuple[str, ...]


class ChoiceScores(Record):
    """Of each choice its log-probability after the context (nats, summed over its tokens) and its number of tokens.

    Where `unknown` says why there are none, both are empty.
    """

    logprobs: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    unknown: str = ""


class ItemResult(Record):
    """One measured item of an evaluation. `value` None means unknown; items of one `cluster` are not independent."""

    task: str
    item: str
    cluster: str
    value: float | None
    reason: str = ""
    prompt: str = ""
    answer: str = ""
    finished: bool | None = None
    detail: Mapping[str, float | None] = {}


class Progress(Record):
    """`done` of `total` units of a pass that prepares a result: embeddings, lower activations, reference scores."""

    stage: str
    done: int
    total: int
