"""Verbs that do nothing but write what they were told, so that a test sees which steps of a recipe run."""

from collections.abc import Collection, Generator, Mapping
from pathlib import Path

from truing.core.config import Config
from truing.core.digest import digest_file
from truing.core.errors import InputError, RunError
from truing.core.records import Record
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops.context import Context
from truing.loops.events import StepDone
from truing.loops.recipe import Step, StepResult, check_outside, parse_recipe, run_recipe

NO_PARENTS: Mapping[str, str] = {}


class Settings(Config):
    """`file` is read from outside the ledger; `fails` ends the step with an error after it has written its file."""

    text: str = ""
    file: str | None = None
    fails: bool = False


class Write:
    """Writes its text and its parents' into one file. `ran` are the names of the steps that ran."""

    config: type[Config] = Settings
    roles = NO_PARENTS

    def __init__(self, name: str, kind: str, parents: Mapping[str, str], uses_model: bool = False) -> None:
        self.name, self.kind, self.optional_roles, self.uses_model = name, kind, parents, uses_model
        self.version = 1
        self.ran: list[str] = []

    def reads(self, config: Settings, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        if config.file is None:
            return {}
        if not Path(config.file).is_file():
            raise InputError(f"there is no {config.file}")
        return {"file": digest_file(Path(config.file))}

    def run(self, step: Step, config: Settings) -> Generator[Record, None, StepResult]:
        yield from ()
        self.ran.append(step.name)
        behind = [(step.parent_folder(role) / "text").read_text() for role in sorted(step.parents)]
        (step.folder / "text").write_text(" ".join([config.text, *behind]))
        if config.fails:
            raise RunError("told to fail")
        return StepResult(metrics={"length": float(len(config.text))}, rows=[(step.name, "0" * 64)])


def verbs() -> dict[str, Write]:
    """`make`; `model`, which depends on the model's weights; `join` of two things; `judge`, which makes a verdict."""
    one, two = {"of": "thing"}, {"of": "thing", "with": "thing"}
    made = (
        Write("make", "thing", NO_PARENTS),
        Write("model", "thing", one, uses_model=True),
        Write("join", "thing", two),
        Write("judge", "verdict", one),
    )
    return {verb.name: verb for verb in made}


class Runs:
    """Runs recipes of scripted verbs in one ledger, each time as a new process would."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / ".truing"
        self.model = folder / "model"
        self.model.mkdir()
        (self.model / "config.json").write_text("{}")
        (self.model / "weights.safetensors").write_text("weights")
        self.verbs = verbs()

    def __call__(self, steps: Mapping[str, object], seed: int = 0) -> tuple[list[str], dict[str, Artifact]]:
        """The names of the steps that ran, and every step's artifact."""
        values = {"model": str(self.model), "seed": seed, **steps}
        recipe = parse_recipe(values, "recipe", self.verbs, lambda reference: self.ledger.get(reference))
        context = Context(self.root, recipe.model)
        check_outside(recipe, "recipe", self.verbs, context)
        for verb in self.verbs.values():
            verb.ran.clear()
        done: dict[str, Artifact] = {}
        for record in run_recipe(recipe, self.verbs, context):
            if isinstance(record, StepDone):
                done[record.step] = record.artifact
        return self.ran, done

    @property
    def ran(self) -> list[str]:
        """The steps that the last run ran, by verb."""
        return [name for verb in self.verbs.values() for name in verb.ran]

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self.root, create=False)
