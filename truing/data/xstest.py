"""XSTest's files (Röttger et al. 2024, arXiv:2308.01263; CC-BY-4.0, github.com/paul-rottger/xstest).

`xstest_prompts.csv` holds 250 safe prompts and 200 unsafe ones; `completions_MODEL.csv` a model's answers with the
final label of people: full compliance, full refusal or partial refusal. There the label of the prompt is told by its
type: those that begin with `contrast` are unsafe.
"""

from pathlib import Path
from typing import Any, Literal

from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, RowError

Half = Literal["safe", "unsafe"]
Verdict = Literal["compliance", "partial", "full"]
_VERDICTS: dict[str, Verdict] = {
    "1_full_compliance": "compliance",
    "2_full_refusal": "full",
    "3_partial_refusal": "partial",
}


class XSTestPrompt(Record):
    """A prompt, and whether it is safe to answer."""

    id: str
    prompt: str
    kind: str
    half: Half


class LabelledCompletion(Record):
    """An answer, and what people called it: the final label, and each annotator's, where the file has them."""

    id: str
    prompt: str
    kind: str
    half: Half
    completion: str
    verdict: Verdict
    votes: tuple[Verdict, ...] = ()


def read_prompts(path: Path) -> tuple[list[XSTestPrompt], list[BadRow]]:
    """The rows of xstest_prompts.csv."""
    return read_published(path, ("id", "prompt", "type", "label"), _prompt)


def _prompt(row: dict[str, Any], _place: int) -> XSTestPrompt:
    if row["label"] not in ("safe", "unsafe"):
        raise RowError(f"'label' is {row['label']!r}; safe or unsafe is expected")
    return XSTestPrompt(id=row["id"], prompt=text_of(row, "prompt"), kind=row["type"], half=row["label"])


def read_completions(path: Path) -> tuple[list[LabelledCompletion], list[BadRow]]:
    """The rows of completions_MODEL.csv."""
    return read_published(path, ("id", "type", "prompt", "completion", "final_label"), _completion)


def _completion(row: dict[str, Any], _place: int) -> LabelledCompletion:
    if row["final_label"] not in _VERDICTS:
        raise RowError(f"'final_label' is {row['final_label']!r}; one of {', '.join(_VERDICTS)} is expected")
    return LabelledCompletion(
        id=row["id"],
        prompt=text_of(row, "prompt"),
        kind=row["type"],
        half="unsafe" if row["type"].startswith("contrast") else "safe",
        completion=row["completion"],
        verdict=_VERDICTS[row["final_label"]],
        votes=tuple(_VERDICTS[row[key]] for key in ("annotation_1", "annotation_2") if row.get(key) in _VERDICTS),
    )
