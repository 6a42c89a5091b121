"""truing's side: the task itself, as `truing eval --task truthfulqa_817` runs it, without a cache."""

import sys
import time
from pathlib import Path
from typing import Any

import torch
from questions import questions
from worker import serve

from truing.core.records import ChoiceScores, Question
from truing.data.truthfulqa import read_choices
from truing.engine.trunk import Trunk
from truing.evals.metric import mean_figure
from truing.evals.task import Subject, TaskSettings
from truing.evals.tasks.truthfulqa import EDITION_817
from truing.providers.local import LocalSystem


class Watched:
    """Scores choices and remembers what they were."""

    def __init__(self, system: LocalSystem) -> None:
        self.system, self.seen = system, dict[str, ChoiceScores]()

    def score_choices(self, asked: Any) -> Any:
        """As the system's own."""
        for number, scores in self.system.score_choices(asked):
            self.seen[asked[number].context] = scores
            yield number, scores


class Worker:
    """One trunk."""

    def __init__(self, model: str, file: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.file = Path(file)
        self.system = LocalSystem(Trunk.load(model))

    def run(self, count: int, ties: str = "strict", first: int | None = None) -> dict[str, Any]:
        """Both figures on so many questions (see `questions`): wall-clock seconds, means, and each question's
        log-probabilities in the order of the file."""
        watched = Watched(self.system)
        subject = Subject("local", self.system, watched)
        asked = questions(self.file, count, first)
        wanted = {str(row["id"]) for row in asked}
        started = time.perf_counter()
        rows = [row for row in read_choices(self.file, binary=False)[0] if row.id in wanted]
        items = list(EDITION_817.run(subject, rows, TaskSettings(ties=ties)))  # type: ignore[arg-type]
        figures = {
            form: mean_figure(form, form, [item for item in items if item.task == f"truthfulqa_817_{form}"])
            for form in ("mc1", "mc2")
        }
        seconds = time.perf_counter() - started
        logprobs: dict[str, list[list[float]]] = {"mc1": [], "mc2": []}
        for row, plain in zip(rows, asked, strict=True):
            question: Question = EDITION_817.question(row)
            at = dict(zip(question.choices, watched.seen[question.context].logprobs, strict=True))
            for form in logprobs:
                logprobs[form].append([at[f" {choice}"] for choice in plain[f"{form}_targets"]["choices"]])
        return {
            "seconds": seconds,
            "means": {form: figure.value for form, figure in figures.items()},
            "logprobs": logprobs,
            "prompt": EDITION_817.question(rows[0]).context,
        }


if __name__ == "__main__":
    model, file, threads = sys.argv[1:]
    it = Worker(model, file, int(threads))
    serve({"ready": lambda: None, "run": it.run})
