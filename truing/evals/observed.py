"""What an evaluation of a deployed model stands on: whom it asked, when the answers came, and what they took.

It is an observation. The same name may be another model tomorrow, and nothing here can tell: so whoever shows a figure
shows these times beside it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from truing.core.records import Answer, Observation, Record
from truing.providers.limits import Spending, Tokens
from truing.providers.remote import RemoteSystem

_FILE = "observed.json"


class Observations(Record):
    """Answers of `system`, asked at `base_url`; equal questions count once. `reported_models` are the names that the
    server told, each with its number of answers ("" where it told none).

    `missing` are the reasons of the answers that are not there, each with its number: their items are unknown. `first`
    and `last` are when answers came; `earlier` of them came before this run began. `requests`, the tokens that were
    told and their `cost` (None without a price) are of all answers; of `untold` answers the server told no count.
    `spending` is what this run itself took, failed requests included.
    """

    system: str
    base_url: str
    system_prompt: str | None
    reported_models: Mapping[str, int]
    answers: int
    missing: Mapping[str, int]
    first: datetime
    last: datetime
    earlier: int
    requests: int
    prompt_tokens: int
    output_tokens: int
    thinking_tokens: int
    untold: int
    cost: float | None
    spending: Spending

    @property
    def times(self) -> str:
        """When it was answered, for people."""
        first, last = (time.isoformat(timespec="seconds").replace("+00:00", "Z") for time in (self.first, self.last))
        return f"at {first}" if first == last else f"from {first} to {last}"

    def __str__(self) -> str:
        """Who answered, and when."""
        names = ", ".join(filter(None, self.reported_models)) or "no name"
        return f"{self.system} (reported as {names}) answered {self.times}"


def observations(answers: Sequence[Answer], system: RemoteSystem, began: datetime) -> Observations:
    """What is known of these answers, at least one; `began` is when this run did. Raises `ValueError` where one was not
    observed."""
    seen = [_observed(answer) for answer in answers]
    told = Tokens(sum(one.prompt_tokens or 0 for one in seen), sum(one.output_tokens or 0 for one in seen))
    times = [one.time for one in seen]
    return Observations(
        system=system.name,
        base_url=system.address,
        system_prompt=system.system_prompt,
        reported_models=_counted(one.reported_model or "" for one in seen if one.replied),
        answers=len(answers),
        missing=_counted(answer.missing for answer in answers if answer.missing),
        first=min(times),
        last=max(times),
        earlier=sum(time < began for time in times),
        requests=sum(one.attempts for one in seen),
        prompt_tokens=told.prompt,
        output_tokens=told.output,
        thinking_tokens=sum(one.thinking_tokens or 0 for one in seen),
        untold=sum(one.prompt_tokens is None or one.output_tokens is None for one in seen),
        cost=system.cost(told),
        spending=system.spending,
    )


def write_observations(folder: Path, found: Observations) -> None:
    """Into an evaluation's folder."""
    (folder / _FILE).write_text(found.model_dump_json(indent=1), encoding="utf-8")


def read_observations(folder: Path) -> Observations | None:
    """Those of an evaluation; None for one of a local model."""
    path = folder / _FILE
    return Observations.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def _counted(names: Iterable[str]) -> dict[str, int]:
    """Each name and how often it stands there, the commonest first."""
    return dict(Counter(names).most_common())


def _observed(answer: Answer) -> Observation:
    if answer.observed is None:
        raise ValueError("an answer of a local model was not observed")
    return answer.observed
