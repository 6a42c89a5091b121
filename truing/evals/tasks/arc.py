"""ARC, Challenge and Easy: school science questions, by the likelihood of each choice's text (Clark et al. 2018).

Without worked questions, as lm-evaluation-harness asks by itself:
    acc       1[ℓ(right) > max ℓ(wrong)]
    acc_norm  the same of ℓ(choice) / its length in characters (Unicode code points, without the space before it): the
              harness's acc_norm
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from truing.core.records import ChoiceScores, ItemResult, Question
from truing.data.arc import ARCQuestion, read_questions
from truing.evals.metric import Metric
from truing.evals.task import Loaded, Subject, Task, TaskSettings, unknown


@dataclass(frozen=True)
class Half:
    """One half of the set, read from `file` below arc/."""

    name: str
    title: str
    file: str

    def task(self) -> Task:
        """The task on this half."""
        return Task(
            name=self.name,
            title=self.title,
            home="allenai.org/data/arc (ARC-V1-Feb2018.zip)",
            version=1,
            metrics=(
                Metric(self.name, f"{self.title}: right (acc)", "higher", aspect="helpful"),
                Metric(f"{self.name}_norm", f"{self.title}: right (acc_norm)", "higher", aspect="helpful"),
            ),
            files=self.files,
            read=lambda folder: Loaded.of(self.files(folder), read_questions),
            asks=question,
            run=self.run,
            items_a_row=2,
            chance="about .250",
        )

    def files(self, folder: Path) -> list[Path]:
        """The half's test file."""
        return [folder / "arc" / self.file]

    def run(self, subject: Subject, rows: Sequence[ARCQuestion], settings: TaskSettings) -> Iterator[ItemResult]:
        """Yield each question's two items as it is scored."""
        for number, scores in subject.score(self.name, [question(row) for row in rows]):
            yield from self._items(rows[number], scores, settings)

    def _items(self, row: ARCQuestion, scores: ChoiceScores, settings: TaskSettings) -> Iterator[ItemResult]:
        tasks = (self.name, f"{self.name}_norm")
        if scores.unknown:
            yield from (unknown(task, row.id, row.id, scores.unknown, row.question) for task in tasks)
            return
        by_length = [value / len(choice) for value, choice in zip(scores.logprobs, row.choices, strict=True)]
        for task, values in zip(tasks, (list(scores.logprobs), by_length), strict=True):
            margin = values[row.right] - max(value for place, value in enumerate(values) if place != row.right)
            yield ItemResult(
                task=task,
                item=row.id,
                cluster=row.id,
                value=settings.wins(margin),
                prompt=row.question,
                answer=row.choices[values.index(max(values))],
                detail={"margin": margin},
            )


def question(row: ARCQuestion) -> Question:
    """The question, and the text of each choice."""
    return Question(context=f"Question: {row.question}\nAnswer:", choices=tuple(f" {choice}" for choice in row.choices))


ARC_CHALLENGE = Half("arc_challenge", "ARC-Challenge", "ARC-Challenge-Test.jsonl").task()
ARC_EASY = Half("arc_easy", "ARC-Easy", "ARC-Easy-Test.jsonl").task()
