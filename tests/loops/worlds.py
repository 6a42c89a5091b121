"""Recipes whose outcome is known in closed form: a training step that keeps its numbers, and an evaluation of them."""

import json
from collections.abc import Callable, Collection, Generator, Mapping
from typing import Any, Literal

import pytest
from pydantic import model_validator

from truing.core.config import Config
from truing.core.errors import RunError
from truing.core.records import ItemResult, Record
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult

State = Mapping[str, float]


class Numbers(Config):
    """`tau` belongs to `kind` = two, and `wide.deep` is a setting within a setting."""

    class Wide(Config):
        deep: int = 1
        flat: int = 1

    x: float = 0.0
    kind: Literal["one", "two"] = "one"
    tau: float | None = None
    wide: Wide = Wide()

    @model_validator(mode="after")
    def _own(self) -> "Numbers":
        if self.tau is not None and self.kind != "two":
            raise ValueError("tau belongs to the kind two")
        return self


class Train:
    """Keeps its x and its seed, and those of the step that it stands on, each by the step's name. `broken` names a step
    that fails."""

    name, version, kind, uses_model = "train", 1, "adapter", False
    config: type[Config] = Numbers
    roles: Mapping[str, str] = {}
    optional_roles: Mapping[str, str] = {"of": "adapter"}
    broken = ""

    def reads(self, _config: Numbers, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        return {}

    def run(self, step: Step, config: Numbers) -> Generator[Record, None, StepResult]:
        yield from ()
        if step.name == self.broken:
            raise RunError("stopped, as told")
        behind = json.loads((step.parent_folder("of") / "state").read_text()) if step.parents else {}
        own = {step.name: config.x + config.wide.deep - 1 + (config.tau or 0.0), f"{step.name} seed": step.seed}
        (step.folder / "state").write_text(json.dumps({**behind, **own}))
        (step.folder / "steps.jsonl").write_text('{"tokens": 4}\n{"tokens": 3}\n')
        return StepResult()


class Asked(Config):
    items: int = 20
    more: float = 0.0


class Measure:
    """One metric over items, each `worth` of the adapter's numbers beside the item's own."""

    name, version, kind, uses_model = "measure", 1, "evaluation", False
    config: type[Config] = Asked
    roles: Mapping[str, str] = {"adapter": "adapter"}
    optional_roles: Mapping[str, str] = {}

    def __init__(self, worth: Callable[[State], float]) -> None:
        self.worth = worth

    def reads(self, _config: Asked, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        return {}

    def run(self, step: Step, config: Asked) -> Generator[Record, None, StepResult]:
        yield from ()
        worth = self.worth(json.loads((step.parent_folder("adapter") / "state").read_text())) + config.more
        items = [
            ItemResult(task="reference_logprob", item=f"{n}", cluster=f"{n}", value=worth + n % 5, prompt=f"{n}?")
            for n in range(config.items)
        ]
        (step.folder / "items.jsonl").write_text("".join(item.model_dump_json() + "\n" for item in items))
        return StepResult(metrics={"reference_logprob": worth})


def use(monkeypatch: pytest.MonkeyPatch, worth: Callable[[State], float]) -> dict[str, Any]:
    """Make these the verbs that recipes know."""
    found = {"train": Train(), "measure": Measure(worth)}
    monkeypatch.setattr("truing.loops.verbs.table.VERBS", found)
    return found
