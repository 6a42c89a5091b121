"""MMLU: knowledge of 57 subjects, each question with four options (Hendrycks et al. 2021, arXiv:2009.03300).

Behind a header that names the subject stand five worked questions and the one that is asked; what is scored is the
letter: right where ℓ(letter of the right option) is above the other three. `mmlu` is the mean over all questions, as in
the paper; its four categories are the authors', each the mean over its questions.

No question is asked with fewer worked ones: where all five do not fit into the context, it is unknown.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from truing.core.records import ChoiceScores, ItemResult, Question
from truing.data.mmlu import LETTERS, MMLUQuestion, Worked, dev_of, read_subject
from truing.evals.metric import Figure, Metric, mean_figure
from truing.evals.task import Loaded, Subject, Task, TaskSettings, unknown

# The authors' categories of their subjects.
CATEGORIES = {
    "stem": (
        "abstract_algebra", "astronomy", "college_biology", "college_chemistry", "college_computer_science",
        "college_mathematics", "college_physics", "computer_security", "conceptual_physics", "electrical_engineering",
        "elementary_mathematics", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
        "high_school_mathematics", "high_school_physics", "high_school_statistics", "machine_learning",
    ),
    "humanities": (
        "formal_logic", "high_school_european_history", "high_school_us_history", "high_school_world_history",
        "international_law", "jurisprudence", "logical_fallacies", "moral_disputes", "moral_scenarios", "philosophy",
        "prehistory", "professional_law", "world_religions",
    ),
    "social_sciences": (
        "econometrics", "high_school_geography", "high_school_government_and_politics", "high_school_macroeconomics",
        "high_school_microeconomics", "high_school_psychology", "human_sexuality", "professional_psychology",
        "public_relations", "security_studies", "sociology", "us_foreign_policy",
    ),
    "other": (
        "anatomy", "business_ethics", "clinical_knowledge", "college_medicine", "global_facts", "human_aging",
        "management", "marketing", "medical_genetics", "miscellaneous", "nutrition", "professional_accounting",
        "professional_medicine", "virology",
    ),
}  # fmt: skip


def files(folder: Path) -> list[Path]:
    """Every subject's questions, and its worked ones; the name of one if there is none."""
    return [path for test in _tests(folder) for path in (test, dev_of(test))] or [
        folder / "mmlu" / "test" / "abstract_algebra_test.csv"
    ]


def _tests(folder: Path) -> list[Path]:
    return sorted((folder / "mmlu" / "test").glob("*_test.csv"))


def run(subject: Subject, rows: Sequence[MMLUQuestion], settings: TaskSettings) -> Iterator[ItemResult]:
    """Yield each question's item as it is scored, subject by subject: each has one beginning for all its questions."""
    for _, some in groupby(rows, key=lambda row: row.subject):
        part = list(some)
        for number, scores in subject.score("mmlu", [question(row) for row in part]):
            yield _item(part[number], scores, settings)


def question(row: MMLUQuestion) -> Question:
    """The header, the worked questions with their letters, and the question."""
    header = f"The following are multiple choice questions (with answers) about {row.subject.replace('_', ' ')}."
    worked = [f"{_asked(one)} {LETTERS[one.right]}" for one in row.primer]
    return Question(
        context="\n\n".join([header, *worked, _asked(row)]), choices=tuple(f" {letter}" for letter in LETTERS)
    )


def _asked(row: Worked) -> str:
    options = (f"{letter}. {option}" for letter, option in zip(LETTERS, row.options, strict=True))
    return "\n".join([row.question.strip(), *options, "Answer:"])


def _item(row: MMLUQuestion, scores: ChoiceScores, settings: TaskSettings) -> ItemResult:
    if scores.unknown:
        return unknown("mmlu", row.id, row.id, scores.unknown, row.question)
    others = [value for place, value in enumerate(scores.logprobs) if place != row.right]
    margin = scores.logprobs[row.right] - max(others)
    likeliest = max(range(len(LETTERS)), key=lambda place: scores.logprobs[place])
    return ItemResult(
        task="mmlu",
        item=row.id,
        cluster=row.id,
        value=settings.wins(margin),
        prompt=row.question,
        answer=f"{LETTERS[likeliest]}. {row.options[likeliest]}",
        detail={"margin": margin},
    )


def derived(items: Sequence[ItemResult]) -> list[Figure]:
    """Each category's accuracy, as far as its subjects are there."""
    parts = {
        category: [item for item in items if item.item.rpartition("-")[0] in subjects]
        for category, subjects in CATEGORIES.items()
    }
    return [
        mean_figure(f"mmlu_{category}", f"MMLU {category.replace('_', ' ')}: right", part)
        for category, part in parts.items()
        if part
    ]


MMLU = Task(
    name="mmlu",
    title="MMLU",
    home="github.com/hendrycks/test (data.tar: its test/ and dev/)",
    version=1,
    metrics=(Metric("mmlu", "MMLU: right", "higher", aspect="helpful"),),
    files=files,
    read=lambda folder: Loaded.of(_tests(folder), read_subject),
    asks=question,
    run=run,
    derived=derived,
    chance=".250",
)
