"""A judge held against a labelled set, and what was found kept in the ledger, beside the evaluations that it judges."""

from collections.abc import Generator
from pathlib import Path

from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.records import Progress
from truing.data.labelled import LabelledSet, read_labelled
from truing.judges.agreement import Validation, validate
from truing.judges.refusal import CHOSEN_ON, RefusalJudge
from truing.judges.validate import judge_all
from truing.ledger.artifacts import Artifact, Parent
from truing.ledger.ledger import Ledger
from truing.loops.judges import NamedJudge

KIND, FILE = "validation", "validation.json"


def validate_named(named: NamedJudge, one: LabelledSet, folder: Path) -> Generator[Progress, None, Validation]:
    """Hold a judge against a labelled set; yields progress. Rows that a trained judge learned from are judged by the
    fit that saw neither their prompt nor their source. Raises `InputError` where set and judge ask different questions.
    """
    if named.question != one.question:
        raise InputError(
            f"{one.title} is labelled by the question of {one.question}, and this judge {_judges(named)}; "
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


def _judges(named: NamedJudge) -> str:
    """What a judge judges, as a sentence goes on."""
    return "answers no question of a labelled set" if named.question is None else f"judges {named.question}"


def keep_validation(root: Path, named: NamedJudge, one: LabelledSet, folder: Path, found: Validation) -> Artifact:
    """Put a validation into the ledger: an observation where a deployed model was asked."""
    ledger = Ledger.open(root)
    with ledger.begin() as staging:
        (staging / FILE).write_text(found.model_dump_json(indent=1), encoding="utf-8")
        whole = found.whole
        shares = {name: getattr(whole, name).value for name in ("agreement", "sensitivity", "specificity", "kappa")}
        return ledger.commit(
            staging,
            kind=KIND,
            verb="validate",
            verb_version=1,
            name=f"{Path(named.name.removeprefix('ledger:')).stem.partition(':')[0]}_validation",
            config={
                "judge": found.version,
                "set": one.name,
                "labels": digest([digest_file(path) for path in one.files(folder)]),
            },
            parents=[] if named.artifact is None else [Parent(role="judge", artifact=named.artifact.id)],
            seed=0,
            metrics={**shares, "unknown": float(whole.accuracy.unknown)},
            observation=named.asked is not None and named.asked.context.deployed is not None,
        )


def read_validation(folder: Path) -> Validation:
    """That of an artifact."""
    return Validation.model_validate_json((folder / FILE).read_text(encoding="utf-8"))


def find_validation(root: Path, named: NamedJudge) -> Artifact | None:
    """The newest validation of this very judge that was kept in the ledger of a folder; None without either."""
    try:
        kept = Ledger.open(root, create=False).list(KIND)
    except InputError:
        return None
    return next((one for one in kept if one.config.get("judge") == named.judge.version), None)
