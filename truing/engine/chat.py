"""Messages ↔ tokens: the only place that knows a chat template.

A template is learned from one rendering: what it puts between a prompt and an answer (Qwen 3's empty thinking block,
a space) belongs to the prompt; what it puts after an answer is its tail. Prompt and answer are tokenised apart, so that
the prompt's tokens never depend on the answer. The end of turn, which is the tail up to its first special token, is
part of every encoded answer (it must be learned); the rest of the tail (a newline) is not, unless `score_tail` asks.
"""

from collections.abc import Sequence
from typing import Any

from truing.core.errors import InputError
from truing.core.records import Answer, Conversation, Message
from truing.engine.tree import TokenSequence

_MARK = "truing-mark"


class Chat:
    """A tokenizer's chat template, checked once: prompts are prefixes of dialogues, and turns end in a known token.

    `score_tail` scores everything that the template puts after an answer, as TRL does.
    """

    def __init__(
        self, tokenizer: Any, context: int, system_prompt: str | None = None, *, score_tail: bool = False
    ) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise InputError(
                "the model's tokenizer has no chat template, so it cannot be used as a chat model as it is; "
                "name one as the model's template: chatml, plain, or a Jinja file"
            )
        self.tokenizer = tokenizer
        self.context = context
        self.system_prompt = system_prompt
        self._lead, self._tail = self._around()
        end = self._end_of_turn()
        self.end_id = end[-1]
        self._closing = self._ids(self._tail) if score_tail else end

    def render(self, conversation: Conversation, answer: str | None = None) -> str:
        """The template's text of a conversation, ready for an answer, or with it.

        Raises `InputError` where the template refuses the conversation (its roles, or their order).
        """
        text = self._applied(conversation, answer)
        return text if answer is not None else text + self._lead

    def prompt_ids(self, conversation: Conversation) -> tuple[int, ...]:
        """The tokens of a conversation up to where the assistant's answer begins."""
        return self._ids(self.render(conversation))

    def answer_ids(self, answer: str) -> tuple[int, ...]:
        """The tokens of an answer, end of turn included."""
        return (*self._ids(answer), *self._closing)

    def sequence(self, conversation: Conversation, answer: str) -> TokenSequence:
        """Prompt and answer as one sequence whose answer is scored. The answer is taken as the template shows it: many
        leave out whitespace at its ends.

        Raises `InputError` if the template says anything else than the prompt, the answer and the tail (it rewrites
        what was said, or the answer's first characters merge with the prompt's last), or if the whole is longer than
        the model's context: nothing is ever truncated.
        """
        before, whole = self.render(conversation), self.render(conversation, answer)
        shown = whole[len(before) : len(whole) - len(self._tail)]
        if not (whole.startswith(before) and whole.endswith(self._tail) and shown.strip() == answer.strip()):
            raise InputError(
                f"the chat template rewrites the prompt or the answer {_shortened(answer)} once they stand together; "
                "use another template, or leave the row out"
            )
        prompt, answer_part = self._ids(before), self.answer_ids(shown)
        if self._ids(whole)[: len(prompt)] != prompt:
            raise InputError(
                f"the chat template changes the prompt's tokens once the answer {_shortened(answer)} follows; "
                "use another template, or an answer that does not begin with whitespace"
            )
        if len(prompt) + len(answer_part) > self.context:
            raise InputError(
                f"prompt and answer {_shortened(answer)} take {len(prompt) + len(answer_part)} tokens, more than "
                f"the model's context of {self.context}; shorten the row or leave it out"
            )
        return TokenSequence(prompt + answer_part, scored_from=len(prompt))

    def text(self, token_ids: Sequence[int]) -> str:
        """The text of an answer's tokens, without special tokens."""
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _applied(self, conversation: Conversation, answer: str | None) -> str:
        from jinja2 import TemplateError

        messages = [message.model_dump() for message in conversation]
        if self.system_prompt is not None and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": self.system_prompt})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer is None
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise InputError(
                f"the chat template refuses a conversation of {roles} ({error}); change it, or use another template"
            ) from None
        return text

    def _around(self) -> tuple[str, str]:
        """What the template puts between a prompt and an answer, and after the answer."""
        question = (Message(role="user", content="?"),)
        prompt, whole = self._applied(question, None), self._applied(question, _MARK)
        lead, mark, tail = whole[len(prompt) :].partition(_MARK)
        if not whole.startswith(prompt) or not mark:
            raise InputError(
                "the chat template rewrites a prompt once an answer follows it; such templates are not supported"
            )
        if not tail:
            raise InputError("the chat template puts nothing after an answer, so its end could never be learned")
        return lead, tail

    def _end_of_turn(self) -> tuple[int, ...]:
        """The tail's tokens up to the first special one. A tokenizer that names none has its first token end a turn."""
        tail = self._ids(self._tail)
        if not hasattr(self.tokenizer, "all_special_ids"):
            return tail[:1]
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values()}
        for place, token in enumerate(tail):
            if token in special:
                return tail[: place + 1]
        raise InputError(
            f"the chat template ends an answer with {self._tail!r}, which is ordinary text for this tokenizer: an "
            "answer could not be told from its end; use a template that ends turns with one of its special tokens"
        )


def as_drawn(prompt: tuple[int, ...], answer: Answer, end_id: int) -> TokenSequence:
    """A prompt's tokens and a drawn answer as one sequence, scored where tokens were drawn: the end only if it was."""
    return TokenSequence((*prompt, *answer.token_ids, *([end_id] if answer.finished else [])), len(prompt))


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
