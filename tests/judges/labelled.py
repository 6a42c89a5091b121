"""Answers with labels, read from the benchmark files and the starter pack: what the judges are held against.

Each set has the name that `JudgeAccuracy.data` carries. A label is True where the judge should say yes. To see the
counts that `MEASURED` should hold, run `python -m tests.judges.labelled` from the repository's root.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from truing import starter
from truing.core.protocols import Judge
from truing.core.records import Comparison, Conversation, Message, Probe
from truing.data.formats import load
from truing.data.native import read_probes
from truing.judges.validate import JudgeAccuracy, validate_judge

Row = tuple[Conversation, str, bool]
Read = Callable[[Path], Iterator[Row]]

ORDINARY_GROUPS = ("benign_twin", "helpful", "medical", "children")
# XSTest's safe prompts that ask for something that exists and anybody may know: nothing to admit, nothing to correct.
SANE_TYPES = ("homonyms", "figurative_language", "safe_targets", "safe_contexts", "definitions", "historical_events")
COMPLIES, PARTLY = "1_full_compliance", "3_partial_refusal"


def xstest(model: str, *, partial: bool = True) -> Read:
    """People's final label: full and partial refusals are refusals; without `partial` these rows are left out."""

    def read(folder: Path) -> Iterator[Row]:
        for row in _csv(folder / "xstest" / f"completions_{model}.csv"):
            if partial or row["final_label"] != PARTLY:
                yield _user(row["prompt"]), row["completion"], row["final_label"] != COMPLIES

    return read


def harmbench(folder: Path) -> Iterator[Row]:
    """At most one of three people says that the attack succeeded. Failing is not refusing: feeble answers fail too."""
    content = json.loads((folder / "harmbench" / "judge_validation_set.json").read_text(encoding="utf-8"))
    for completions in content.values():
        for row in completions:
            success = sum(int(row[f"human_{person}"]) for person in range(3)) >= 2
            yield _user(row["test_case"]), row["generation"], not success


def sane_answers(model: str) -> Read:
    """Full compliance with XSTest's sane safe prompts: by construction no admission and no correction."""

    def read(folder: Path) -> Iterator[Row]:
        for row in _csv(folder / "xstest" / f"completions_{model}.csv"):
            if row["type"] in SANE_TYPES and row["final_label"] == COMPLIES:
                yield _user(row["prompt"]), row["completion"], False

    return read


def confident_falsehoods(folder: Path) -> Iterator[Row]:
    """TruthfulQA's best incorrect answers: wrong, and said as if known."""
    for row in _csv(folder / "truthfulqa" / "TruthfulQA.csv"):
        yield _user(row["Question"]), row["Best Incorrect Answer"], False


def starter_refusals() -> Iterator[Row]:
    """The pack's own labels: good answers to harmful prompts refuse, good answers to their benign twins do not."""
    for row in starter_rows():
        if row.chosen is not None and row.group in ("harmful", "benign_twin"):
            yield row.prompt, row.chosen, row.group == "harmful"


def starter_admissions() -> Iterator[Row]:
    """Good answers to what cannot be answered admit or correct; invented ones, and good ones to the twins, do not."""
    for row in starter_rows():
        if row.chosen is not None and row.group in ("unanswerable", "answerable_twin"):
            yield row.prompt, row.chosen, row.group == "unanswerable"
        if row.rejected is not None and row.group == "unanswerable":
            yield row.prompt, row.rejected, False


def starter_ordinary() -> Iterator[Row]:
    """Good answers to ordinary questions: nothing to admit."""
    for row in starter_rows():
        if row.chosen is not None and row.group in ORDINARY_GROUPS:
            yield row.prompt, row.chosen, False


def starter_rows() -> Iterator[Comparison | Probe]:
    """All rows of the starter pack."""
    for path in starter.comparison_files(starter.STARTER):
        yield from load(path)[0]
    for path in starter.probe_files(starter.STARTER):
        yield from read_probes(path)


STARTER_REFUSALS = "starter pack: good answers to harmful prompts and their twins (same authors)"
STARTER_ADMISSIONS = "starter pack: admissions and corrections against answers (same authors)"
STARTER_ORDINARY = "starter pack: good answers to ordinary prompts (same authors)"

REFUSAL_BENCHMARKS: Mapping[str, Read] = {
    "XSTest, Llama 2 (held out)": xstest("llama2new"),
    "XSTest, Llama 2, partial refusals left out (held out)": xstest("llama2new", partial=False),
    "XSTest, GPT-4 (patterns chosen on it)": xstest("gpt4"),
    "XSTest, Mistral (patterns chosen on it)": xstest("mistralinstruct"),
    "HarmBench, human majority: the attack failed (held out; another question, feeble answers fail too)": harmbench,
}
ADMISSION_BENCHMARKS: Mapping[str, Read] = {
    "XSTest, Llama 2: answers to sane questions (held out)": sane_answers("llama2new"),
    "TruthfulQA: best incorrect answers (patterns not chosen on it)": confident_falsehoods,
}
REFUSAL_STARTER = {STARTER_REFUSALS: starter_refusals}
ADMISSION_STARTER = {STARTER_ADMISSIONS: starter_admissions, STARTER_ORDINARY: starter_ordinary}


def measure(
    judge: Judge, folder: Path, benchmarks: Mapping[str, Read], own: Mapping[str, Callable[[], Iterator[Row]]]
) -> list[JudgeAccuracy]:
    """What `MEASURED` should hold."""
    return [validate_judge(judge, read(folder), name) for name, read in benchmarks.items()] + [
        validate_judge(judge, rows(), name) for name, rows in own.items()
    ]


def _user(prompt: str) -> Conversation:
    return (Message(role="user", content=prompt),)


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


if __name__ == "__main__":
    from truing.judges.honesty import AdmissionJudge
    from truing.judges.refusal import RefusalJudge

    data = Path(__file__).resolve().parents[3] / "shared" / "data"
    for accuracy in (
        *measure(RefusalJudge(), data, REFUSAL_BENCHMARKS, REFUSAL_STARTER),
        *measure(AdmissionJudge(), data, ADMISSION_BENCHMARKS, ADMISSION_STARTER),
    ):
        print(repr(accuracy))
