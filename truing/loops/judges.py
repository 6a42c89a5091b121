"""Judges by name, as the command line says them, and what labels they can be held against."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from truing.core.errors import InputError
from truing.core.protocols import Judge, Misfit, Sampler
from truing.core.records import Progress
from truing.data.labelled import LabelledSet, Question, read_labelled
from truing.evals.tasks.harmbench import NotRefused
from truing.judges.agreement import Validation, validate
from truing.judges.refusal import CHOSEN_ON, RefusalJudge
from truing.judges.validate import JudgeAccuracy, judge_all
from truing.ledger.ledger import Ledger
from truing.loops.verbs.judge import KIND

_LEDGER = "ledger:"


@dataclass(frozen=True)
class NamedJudge:
    """A judge by its name, the question that it answers (None: one that no labelled set asks), the folder of a trained
    one, and its accuracy where it carries one."""

    name: str
    judge: Judge
    question: Question | None
    folder: Path | None = None
    accuracy: JudgeAccuracy | None = None


def open_judge(name: str, ledger: Path, open_sampler: Callable[[], tuple[Sampler, str, Misfit]]) -> NamedJudge:
    """`refusal`; `not-refused`, its opposite, which stands in for a judge of harm; a rubric's TOML file, whose model
    `open_sampler` opens (with its name, and what says why it cannot take a prompt); or a trained judge of the ledger,
    by name or id, with or without `ledger:`.

    Raises `InputError` where there is none.
    """
    if name == "refusal":
        return NamedJudge(name, RefusalJudge(), "refusal")
    if name == "not-refused":
        return NamedJudge(name, NotRefused(), "harm")
    if name.endswith(".toml"):
        from truing.judges.asked import RubricJudge, read_rubric

        rubric = read_rubric(Path(name))
        sampler, model, misfit = open_sampler()
        return NamedJudge(name, RubricJudge(sampler, rubric, model, misfit), rubric.question)
    return open_trained(name, ledger)


def open_trained(name: str, ledger: Path) -> NamedJudge:
    """A trained judge of the ledger. Its trunk is loaded when the first answer is judged."""
    from truing.judges.trained import TrainedJudge

    try:
        opened = Ledger.open(ledger, create=False)
        found = opened.get(name.removeprefix(_LEDGER))
    except InputError as error:
        raise InputError(
            f"there is no judge {name!r}: it is none of refusal, not-refused, no rubric (*.toml), and {error}"
        ) from None
    if found.kind != KIND:
        raise InputError(
            f"{name!r} is of the kind {found.kind!r}; it must be a judge: `truing ls --kind {KIND}` lists those"
        )
    judge = TrainedJudge(opened.folder(found), store=opened.store)
    return NamedJudge(name, judge, judge.settings.question, opened.folder(found), judge.settings.accuracy)


def validate_named(named: NamedJudge, one: LabelledSet, folder: Path) -> Generator[Progress, None, Validation]:
    """Hold a judge against a labelled set; yields progress. Rows that a trained judge learned from are judged by the
    fit that saw neither their prompt nor their source. Raises `InputError` where set and judge ask different questions.
    """
    if named.question != one.question:
        raise InputError(
            f"{one.title} is labelled by the question of {one.question}, and this judge "
            f"{'answers no question of a labelled set' if named.question is None else f'judges {named.question}'}; "
            + ("set `question` in the rubric" if named.question is None else "choose another --set")
        )
    rows = read_labelled(one, folder)
    kept: dict[str, float | None] = {}
    note = ""
    if named.folder is not None:
        from truing.judges.trained import read_held_out

        kept = read_held_out(named.folder)
        seen = sum(row.sha256 in kept for row in rows)
        note = (
            f"{seen} of {len(rows)} answers were learned from: each is judged by a fit that saw neither its prompt nor "
            "its source model"
        )
    verdicts = [kept.get(row.sha256) for row in rows]
    fresh = [number for number, row in enumerate(rows) if row.sha256 not in kept]
    asked = [(rows[number].prompt, rows[number].answer) for number in fresh]
    for done, (place, outcome) in enumerate(judge_all(named.judge, asked), start=1):
        verdicts[fresh[place]] = outcome.value
        yield Progress(stage="judging", done=done, total=len(asked))
    # The patterns of the strings, which a trained judge of refusals reads as well, were chosen on these.
    made_on = CHOSEN_ON if one.name == "xstest" and (named.folder or isinstance(named.judge, RefusalJudge)) else ()
    return validate(named.name, one.title, rows, verdicts, version=named.judge.version, made_on=made_on, note=note)
