"""What the command line says of the judge of an evaluation's answers: `--judge`, and whom it asks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from truing.cli.deployed import asked_how
from truing.core.errors import InputError
from truing.engine.settings import ModelConfig
from truing.providers.names import is_deployed

if TYPE_CHECKING:
    from truing.ledger.ledger import Artifact
    from truing.loops.context import Deployed
    from truing.loops.judges import NamedJudge

JUDGES = (
    "refusal (strings), not-refused (its opposite), strongreject (that set's rubric), harmbench-cls:MODEL (HarmBench's "
    "own classifier), a trained judge in the ledger (name or id), or a rubric's TOML file"
)
Judge = Annotated[
    str | None,
    typer.Option(
        "--judge",
        metavar="JUDGE",
        help=f"Who judges the answers instead of the task's own judge: {JUDGES}. Without --task, MODEL is an "
        "evaluation whose answers are judged again.",
    ),
]
JudgeModel = Annotated[
    str | None,
    typer.Option(
        help="Whom a rubric asks: a local model or a deployed one (default: smollm2-135m).", show_default=False
    ),
]
JudgeRemote = Annotated[
    list[str] | None,
    typer.Option("--judge-remote", metavar="KEY=VALUE|FILE", help="How a deployed judge is asked, as --remote."),
]
Template = Annotated[
    Path | None,
    typer.Option(help="The form of the classifier's prompt: a TOML file with prompt and prompt_contextual."),
]


class Chosen(NamedTuple):
    """A judge, its step of a recipe but for the answers, and how it is asked where it asks a deployed model."""

    named: "NamedJudge"
    step: dict[str, Any]
    deployed: "Deployed | None"


def choose(
    ledger: Path,
    judge: str | None,
    model: str | None,
    remote: list[str] | None,
    template: Path | None,
    since: str | None,
    resume: bool,
) -> Chosen | None:
    """The judge that was named; None where none was. Raises `InputError` where the options do not go together."""
    given = {"--judge-model": model, "--judge-remote": remote or None, "--judge-template": template}
    if judge is None:
        if wrong := [option for option, value in given.items() if value is not None]:
            raise InputError(f"{' and '.join(wrong)}: no judge was named; add --judge, or leave this out")
        return None
    from truing.loops.judges import CLASSIFIER, LEDGER, Asking, is_trained, open_judge
    from truing.loops.validation import KIND as VALIDATION
    from truing.loops.validation import find_validation

    name = model or ModelConfig().name
    deployed = asked_how(name, remote, since, resume) if is_deployed(name) else None
    if deployed is None and remote:
        raise InputError(f"--judge-remote is for deployed models, and {name} is a local one; leave it out")
    config = ModelConfig.parse({"name": name}, "--judge-model")
    named = open_judge(judge, ledger, Asking(config, deployed, str(template or "")))
    if model is not None and (named.asked is None or judge.startswith(CLASSIFIER)):
        raise InputError(f"--judge-model: the judge {judge} asks no other model; leave it out")
    step: dict[str, Any] = {"verb": "rejudge"}
    if is_trained(judge):
        step["judge"] = LEDGER + judge.removeprefix(LEDGER)
    else:
        step |= {"by": judge, "judge_model": {"name": name}, "template": str(template or "")}
    validation = find_validation(ledger, named)
    if validation is not None:
        step[VALIDATION] = f"ledger:{validation.id}"
    return Chosen(named, step, deployed)


def check_tasks(names: Sequence[str], named: "NamedJudge") -> None:
    """Raise `InputError` for a task whose answers the judge cannot judge, before anybody is asked for one."""
    from truing.loops.verbs.rejudge import task_of

    for name in names:
        task_of(name, named)


def answers_of(ledger: Path, name: str | None, named: "NamedJudge") -> "Artifact":
    """The evaluation whose answers are judged again. Raises `InputError` where there is none, or the judge cannot judge
    its answers."""
    from truing.ledger.ledger import Ledger
    from truing.loops.systems import answered_by
    from truing.loops.verbs.rejudge import reports_of

    hint = "name an evaluation of the ledger, or tasks by --task"
    if name is None:
        raise InputError(f"--judge: whose answers are judged? {hint}")
    opened = Ledger.open(ledger, create=False)
    found = opened.get(name)
    if found.kind != "evaluation":
        raise InputError(f"--judge: {name!r} is of the kind {found.kind!r}; {hint}")
    given = answered_by(opened, found)
    check_tasks([report.task for report in reports_of(opened.folder(given), found.name)], named)
    return given
