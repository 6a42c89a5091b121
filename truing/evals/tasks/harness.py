"""`lm_eval:NAME`: a task of lm-evaluation-harness (EleutherAI, MIT), asked through its own model interface.

Version 0.4.13. The harness makes the requests and reads the answers; this system answers them:
    loglikelihood           choices behind their text, all of one text as one tree
    loglikelihood_rolling   a whole text, behind the token that begins texts
    generate_until          the request as one user turn of a chat, cut at the first stop sequence
Every figure of the harness that is a number for each document becomes a metric, and each document an item; perplexities
become log-probabilities a word or byte.

What is not the harness's way: nothing is cut, so that a document with a request longer than the context is unknown; and
a task that asks whether a text is what a greedy model writes is refused, since scores do not say so. The harness
fetches its data itself, from the Hugging Face hub or where a task's own file says; `lm_eval/` in the data folder may
hold such files. It draws worked questions by its own fixed seeds.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from truing.core.digest import digest
from truing.core.errors import InputError
from truing.core.records import Decoding, ItemResult, Message, Probe, Question, Record
from truing.evals.metric import Metric
from truing.evals.task import Loaded, Subject, Task, TaskSettings, answers, unknown

PREFIX = "lm_eval:"
# The harness's figures that are shares of right documents; of others the items are numbers of any size.
_SHARES = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "em")
# Figures of all documents together, each of which gives (log-probability, size): its item is their ratio.
_PER = {
    "word_perplexity": " (as log-prob. a word)",
    "byte_perplexity": " (as log-prob. a byte)",
    "bits_per_byte": " (as log-prob. a byte)",
}


class HarnessDocument(Record):
    """A document of a task by its number, and what it holds, as text."""

    id: str
    content: str


class Requests:
    """The harness's requests, answered by a system. `unknown` says of documents by number why one of their requests has
    no answer; `first` is the first thing that was asked."""

    def __init__(self, subject: Subject, settings: TaskSettings, name: str) -> None:
        super().__init__()
        self._subject, self._settings, self._name = subject, settings, name
        self.unknown: dict[int, str] = {}
        self.cut: set[int] = set()
        self.first: Question | Probe | None = None

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """The log-probability of each (text, continuation). The second value, whether a greedy model writes it, is not
        known here; tasks that read it are refused."""
        places: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for place, request in enumerate(requests):
            text, continuation = request.args
            # The harness's rule: spaces at the text's end belong to the continuation.
            kept = text.rstrip()
            places[kept].append((place, text[len(kept) :] + continuation))
        return [(value, False) for value in self._scored(requests, places)]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """The log-probability of each whole text."""
        return self._scored(requests, {"": [(place, request.args[0]) for place, request in enumerate(requests)]})

    def _scored(self, requests: Sequence[Any], places: Mapping[str, list[tuple[int, str]]]) -> list[float]:
        found = [0.0] * len(requests)  # the harness needs a number; of an unknown document nobody reads it
        asked: list[list[tuple[int, str]]] = []
        questions = []
        for text, some in places.items():
            if not text and self._subject.start is None:
                self._not_known(requests, some, "nothing can stand before the first token of a text here")
                continue
            # Whole texts have nothing in common: each is a question of its own, and none another's fault.
            for part in [some] if text else [[one] for one in some]:
                choices = dict.fromkeys(choice for _, choice in part)
                questions.append(Question(context=text or self._subject.start or "", choices=tuple(choices)))
                asked.append(part)
        self.first = self.first or next(iter(questions), None)
        for number, scores in self._subject.score(self._name, questions):
            if scores.unknown:
                self._not_known(requests, asked[number], scores.unknown)
                continue
            values = dict(zip(questions[number].choices, scores.logprobs, strict=True))
            for place, choice in asked[number]:
                found[place] = values[choice]
        return found

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """The text that each request is answered with, up to the first of its stop sequences."""
        texts = [""] * len(requests)
        by_decoding: dict[Decoding, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            by_decoding[self._decoding(request.args[1])].append(place)
        for decoding, places in by_decoding.items():
            prompts = [(Message(role="user", content=requests[place].args[0]),) for place in places]
            self.first = self.first or Probe(id="", group="", topic="", prompt=prompts[0])
            for number, answer in answers(self._subject, prompts, decoding):
                request = requests[places[number]]
                texts[places[number]] = until(answer.text, request.args[1].get("until") or [])
                if answer.missing:
                    self.unknown[request.doc_id] = answer.missing
                if answer.finished is False and texts[places[number]] == answer.text:
                    self.cut.add(request.doc_id)
        return texts

    def _decoding(self, told: Mapping[str, Any]) -> Decoding:
        temperature = float(told.get("temperature") or 0.0) if told.get("do_sample") else 0.0
        longest = int(told.get("max_gen_toks") or self._settings.max_new_tokens)
        return Decoding(temperature=temperature, max_new_tokens=longest, seed=self._settings.seed)

    def _not_known(self, requests: Sequence[Any], some: Sequence[tuple[int, str]], reason: str) -> None:
        for place, _ in some:
            self.unknown[requests[place].doc_id] = reason


def until(text: str, stops: Sequence[str] | str) -> str:
    """A text up to where the first of some stop sequences begins."""
    places = [text.find(stop) for stop in ([stops] if isinstance(stops, str) else stops) if stop]
    return text[: min((place for place in places if place >= 0), default=len(text))]


@functools.cache
def harness_task(name: str, folder: Path | None) -> Task:
    """The task `lm_eval:NAME`. Raises `InputError` where the harness is not installed, has no such task, or the task
    needs what is not known here."""
    harness, manager = _harness(folder)
    own = name.removeprefix(PREFIX)
    task = _task(manager, own)
    rows = [HarnessDocument(id=str(place), content=str(document)) for place, document in enumerate(task.eval_docs)]
    better = task.higher_is_better()
    # By the name of its items: the pipeline of filters, and the harness's metric.
    made_of = {
        f"{name}_{metric}{_behind(pipe.name)}": (pipe.name, metric) for pipe in task._filters for metric in better
    }
    sent: list[Question | Probe] = []

    def run(subject: Subject, chosen: Sequence[HarnessDocument], settings: TaskSettings) -> Iterator[ItemResult]:
        model = type("Answering", (Requests, harness.api.model.LM), {})(subject, settings, name)
        numbers = [int(row.id) for row in chosen]
        told = harness.simple_evaluate(
            model=model, tasks=[own], task_manager=manager, samples={own: numbers}, bootstrap_iters=0, log_samples=True
        )
        sent[:] = [model.first]
        # The model was asked by the place among the chosen documents, and the samples tell the number among all.
        places = {number: place for place, number in enumerate(numbers)}
        for sample in told["samples"][own]:
            for item, (pipe, metric) in made_of.items():
                if sample["filter"] == pipe:
                    yield _item(item, metric, sample, model, places[sample["doc_id"]])

    return Task(
        name=name,
        title=f"lm-eval {own}",
        home="lm-evaluation-harness",
        version=1,
        metrics=tuple(
            Metric(
                item,
                f"lm-eval {own}: {metric}{_PER.get(metric, '')}{_behind(pipe)}",
                "higher" if better[metric] or metric in _PER else "lower",
                "share" if metric in _SHARES else "nats",
            )
            for item, (pipe, metric) in made_of.items()
        ),
        files=lambda _folder: [],
        read=lambda _folder: Loaded(rows),
        asks=lambda _row: sent[0],
        run=run,
        items_a_row=len(made_of),
        max_new_tokens=256,
        libraries=("lm_eval", "datasets"),
        content=lambda: {f"{own}, {len(rows)} documents": digest([row.content for row in rows])},
    )


def _behind(pipe: str) -> str:
    return "" if pipe == "none" else f"_{pipe}"


@functools.cache  # finding its tasks takes seconds
def _harness(folder: Path | None) -> tuple[Any, Any]:
    """The library, and what finds its tasks: its own, and those of lm_eval/ in the data folder."""
    try:
        import lm_eval
        import lm_eval.api.model
        import lm_eval.tasks
    except ModuleNotFoundError as error:
        raise InputError(
            f"tasks of lm-evaluation-harness need {error.name}; run `pip install 'truing[lm-eval]'`"
        ) from None
    own = None if folder is None else folder / "lm_eval"
    include = str(own) if own is not None and own.is_dir() else None
    return lm_eval, lm_eval.tasks.TaskManager(include_path=include)


def _task(manager: Any, own: str) -> Any:
    """One task of the harness. Raises `InputError` where it is none, a group of them, or one that cannot be asked."""
    if own not in manager.all_subtasks:
        kind = "no task" if own not in manager.all_tasks else "a group, not a task,"
        raise InputError(f"lm-evaluation-harness has {kind} {own!r}; `lm-eval ls subtasks` lists its tasks")
    task = manager.load([own])["tasks"][own]
    greedy = {"loglikelihood": "acc", "multiple_choice": "exact_match"}.get(task.OUTPUT_TYPE)
    if greedy is not None and greedy in task.higher_is_better():
        raise InputError(
            f"the figure {greedy} of {own!r} asks whether a text is what a greedy model writes, which is not known "
            "here; choose another task"
        )
    return task


def _item(name: str, metric: str, sample: Mapping[str, Any], model: Requests, place: int) -> ItemResult:
    number, prompt = str(sample["doc_id"]), str(sample["arguments"][0][0])
    if place in model.unknown:
        return unknown(name, number, number, model.unknown[place], prompt)
    value = sample.get(metric)
    detail: dict[str, float | None] = {}
    if metric in _PER and isinstance(value, tuple):
        detail = {"logprob": float(value[0]), "size": float(value[1])}
        value = value[0] / value[1] if value[1] else None
    if not isinstance(value, int | float) or not math.isfinite(value):
        reason = "the harness makes this figure of all documents together" if metric in sample else "is not told"
        return unknown(name, number, number, reason, prompt)
    answer = sample["filtered_resps"][0]
    return ItemResult(
        task=name,
        item=number,
        cluster=number,
        value=float(value),
        prompt=prompt,
        answer=answer if isinstance(answer, str) else "",
        finished=False if place in model.cut else None,
        detail=detail,
    )
