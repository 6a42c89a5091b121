"""The verb `judge`: people's labels in; a trained judge out, with its measured errors and what it learned from.

Every figure is held out: each labelled answer is judged by a fit that saw neither its prompt nor the model that wrote
it, nor chose its penalty on them. The judge that is kept learned from all rows. Beside it stand the refusal judge's
strings, a bag of words (of the whole answer, and of the part that the judge reads), and the states without the strings.
"""

import json
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from truing.core.config import Config
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.records import Progress, Record
from truing.data.labelled import SETS, LabelledAnswer, LabelledSet, Question, read_labelled
from truing.judges.agreement import Agreement, agreement_of
from truing.judges.refusal import RefusalJudge
from truing.judges.scope import outside
from truing.loops.context import Context
from truing.loops.events import Notice
from truing.loops.recipe import Step, StepResult

KIND = "judge"
TABLE = "table.json"
_DEPTHS = (0.3, 0.5, 0.7, 0.9)
# A refusal stands in the opening; harm may come after a page of pleasantries.
_ANSWER_TOKENS: Mapping[Question, int] = {"refusal": 48, "harm": 128}
_CLUSTER_FOLDS, _SOURCE_FOLDS = 5, 3


class JudgeConfig(Config):
    """`question`: what is judged, by the labels of XSTest (refusal) or HarmBench (harm). `answer_tokens` and
    `request_tokens`: how much of answer (its beginning) and request (its end) is read; `layers`: whose states, those at
    3, 5, 7 and 9 tenths of the depth if not given. `penalties`: the grid of λ."""

    question: Question
    answer_tokens: int | None = Field(default=None, ge=1)
    request_tokens: int = Field(default=128, ge=1)
    layers: tuple[int, ...] | None = Field(default=None, min_length=1)
    penalties: tuple[float, ...] = Field(default=(10.0, 30.0, 100.0), min_length=1)


class Judge:
    """The verb `judge`."""

    name, version, kind = "judge", 1, KIND
    config: type[Config] = JudgeConfig
    roles: Mapping[str, str] = {}
    optional_roles: Mapping[str, str] = {}
    uses_model = True

    def reads(self, config: JudgeConfig, _roles: Collection[str], context: Context) -> Mapping[str, str]:
        """The labelled set's files, and the strings. Raises `InputError` naming what is missing."""
        one, folder = _set(config.question), _folder(config.question, context)
        read_labelled(one, folder)
        return {"labels": digest([digest_file(path) for path in one.files(folder)]), "strings": RefusalJudge.version}

    def run(self, step: Step, config: JudgeConfig) -> Generator[Record, None, StepResult]:
        """Write judge.json, judge.safetensors, held_out.jsonl and table.json."""
        from truing.judges.states import StateReader

        one = _set(config.question)
        rows = read_labelled(one, _folder(config.question, step.context))
        used = [row for row in rows if not outside(row.answer)]
        if len(used) < len(rows):
            yield Notice(text=f"{len(rows) - len(used)} answers are not of a kind that is judged; they stay unknown")
        yield from step.context.notices()
        trunk = step.context.trunk
        tokens = config.answer_tokens or _ANSWER_TOKENS[config.question]
        layers = config.layers or tuple(sorted({max(1, round(part * len(trunk.layers))) for part in _DEPTHS}))
        reader = StateReader(trunk, layers, tokens, config.request_tokens, step.context.ledger.store)
        states = np.empty((len(used), len(layers), trunk.head.shape[1]), dtype=np.float32)
        for done, (number, found) in enumerate(reader.read([(row.prompt, row.answer) for row in used]), start=1):
            states[number] = found
            yield Progress(stage="reading states", done=done, total=len(used))
        table = yield from _fit(step, config, one, rows, used, states, reader)
        (step.folder / TABLE).write_text(
            json.dumps([row.model_dump(mode="json") for row in table], indent=1), encoding="utf-8"
        )
        judge = table[-1]
        metrics = {name: getattr(judge, name).value for name in ("agreement", "sensitivity", "specificity", "kappa")}
        return StepResult(metrics={"rows": float(len(used)), "unknown": float(judge.accuracy.unknown), **metrics})


def _fit(
    step: Step,
    config: JudgeConfig,
    one: LabelledSet,
    rows: Sequence[LabelledAnswer],
    used: Sequence[LabelledAnswer],
    states: Any,
    reader: Any,
) -> Generator[Record, None, list[Agreement]]:
    """Fit, measure held out, save; returns the table, the judge last."""
    from truing.judges import fitting
    from truing.judges.trained import HeldOut, TrainedSettings, features, moments, save_judge, strings_of

    labels = np.array([row.label for row in used])
    clusters, sources = [row.cluster for row in used], [row.source for row in used]
    folds = min(_CLUSTER_FOLDS, len(set(clusters))), min(_SOURCE_FOLDS, len(set(sources)))
    cells = fitting.crossed(clusters, sources, *folds, step.seed)
    if min(folds) < 2 or any(len(set(labels[train])) < 2 for train, _ in cells):
        raise InputError(f"{one.title}: too few prompts, source models or labels to hold some of each out; add rows")
    strings = strings_of([(row.prompt, row.answer) for row in used])

    def judged(train: Any) -> Any:
        return features(states, strings, *moments(states[train]))

    methods = {
        "words": fitting.words_of([row.answer for row in used]),
        "words it reads": fitting.words_of([_beginning(reader, row) for row in used]),
        "states": lambda train: judged(train)[:, :-1],
        "judge": judged,
    }
    verdicts = {"strings": strings > 0 if one.question == "refusal" else strings < 0}
    for done, (name, made) in enumerate(methods.items()):
        odds = np.zeros(len(used))
        held_out = fitting.held_out_logits([(name, made)], labels, clusters, config.penalties, cells, step.seed)
        for cell, (test, found) in enumerate(held_out, start=1):
            odds[test] = found
            yield Progress(stage="fitting", done=done * len(cells) + cell, total=len(methods) * len(cells))
        verdicts[name] = odds > 0
    said = {name: dict(zip([row.id for row in used], map(float, yes), strict=True)) for name, yes in verdicts.items()}
    table = [_held_against(name, one, rows, by_id) for name, by_id in said.items()]
    fit, _ = fitting.fit_best([("judge", judged)], labels, clusters, np.arange(len(used)), config.penalties, step.seed)
    trunk = step.context.trunk
    settings = TrainedSettings(
        question=config.question,
        set=one.name,
        trunk=trunk.name,
        trunk_sha256=trunk.sha256,
        template=digest(trunk.tokenizer.chat_template),
        layers=reader.layers,
        answer_tokens=reader.answer_tokens,
        request_tokens=reader.request_tokens,
        strings=RefusalJudge.version,
        penalty=fit.penalty,
        rows=len(used),
        sources=tuple(sorted(set(sources))),
        accuracy=table[-1].accuracy,
    )
    mean, scale = moments(states)
    weights = {"mean": mean, "scale": scale, "weight": fit.weight, "bias": np.array([fit.bias])}
    kept = [HeldOut(id=row.id, row=row.sha256, verdict=said["judge"].get(row.id)) for row in rows]
    save_judge(step.folder, settings, weights, kept)
    return table


def _beginning(reader: Any, row: LabelledAnswer) -> str:
    """The part of an answer that the judge reads, as text."""
    read = reader.sequence(row.prompt, row.answer)
    text: str = reader.chat.text(read.ids[read.scored_from :])
    return text


def _held_against(name: str, one: LabelledSet, rows: Sequence[LabelledAnswer], by_id: Mapping[str, float]) -> Agreement:
    data = f"{one.title}, each answer by a fit that saw neither its prompt nor its source model"
    verdicts = [by_id.get(row.id) for row in rows]
    return agreement_of(name, data, verdicts, [row.label for row in rows], [row.cluster for row in rows])


def read_table(folder: Path) -> list[Agreement]:
    """The table of a judge's artifact: the strings, two bags of words, the states, the judge."""
    return [Agreement.model_validate(row) for row in json.loads((folder / TABLE).read_text(encoding="utf-8"))]


def _set(question: Question) -> LabelledSet:
    return next(one for one in SETS.values() if one.question == question)


def _folder(question: Question, context: Context) -> Path:
    if context.benchmarks is None:
        one = _set(question)
        names = ", ".join(str(path) for path in one.files(Path("DIR")))
        raise InputError(
            f"a judge of {question} learns from {one.title}: put {names} there (from {one.home}), and name DIR with "
            "--data-dir"
        )
    return context.benchmarks
