"""IFEval: does an answer follow instructions that a program can check? (Zhou et al. 2023, arXiv:2311.07911)

    prompt level       all of a prompt's instructions are followed
    instruction level  the share of instructions that are, over all prompts
Each strictly, and loosely (`judges.instructions` says what that is). An instruction that cannot be checked (the
language of the answer) is unknown; so is its prompt, unless another of its instructions is not followed.

Whether an answer makes sense nothing here asks. One that was cut at its longest is checked as it stands, and counted.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from truing.core.records import Answer, Decoding, ItemResult, Message, Probe
from truing.data.ifeval import IFEvalPrompt, Instruction, read_prompts
from truing.evals.metric import Figure, Metric, figure, mean_interval
from truing.evals.task import Loaded, Subject, Task, TaskSettings, answers
from truing.judges.instructions import NO_LANGUAGE, followed, followed_loosely

_READINGS: dict[str, Callable[[Instruction, str], bool | None]] = {"strict": followed, "loose": followed_loosely}


def files(folder: Path) -> list[Path]:
    """The prompts."""
    return [folder / "ifeval" / "input_data.jsonl"]


def run(subject: Subject, rows: Sequence[IFEvalPrompt], settings: TaskSettings) -> Iterator[ItemResult]:
    """Yield each prompt's two items as it is answered."""
    prompts = [_probe(row).prompt for row in rows]
    for number, answer in answers(subject, prompts, Decoding(max_new_tokens=settings.max_new_tokens)):
        for reading, check in _READINGS.items():
            yield _item(rows[number], answer, reading, check)


def _item(
    row: IFEvalPrompt, answer: Answer, reading: str, check: Callable[[Instruction, str], bool | None]
) -> ItemResult:
    verdicts = {
        f"{place} {one.kind}": None if answer.missing else check(one, answer.text)
        for place, one in enumerate(row.instructions, start=1)
    }
    broken = [name for name, verdict in verdicts.items() if verdict is False]
    untold = [name for name, verdict in verdicts.items() if verdict is None]
    reason = "follows all"
    if broken:
        reason = f"does not follow {', '.join(broken)}"
    elif untold:
        reason = answer.missing or f"{NO_LANGUAGE} ({', '.join(untold)})"
    return ItemResult(
        task=f"ifeval_{reading}",
        item=row.id,
        cluster=row.id,
        value=0.0 if broken else None if untold else 1.0,
        reason=reason,
        prompt=row.prompt,
        answer=answer.text,
        finished=answer.finished,
        detail={name: None if verdict is None else float(verdict) for name, verdict in verdicts.items()},
    )


def derived(items: Sequence[ItemResult]) -> list[Figure]:
    """The instruction level: each instruction of each prompt counts once; those of one prompt go together."""
    return [
        _by_instruction(reading, [item for item in items if item.task == f"ifeval_{reading}"]) for reading in _READINGS
    ]


def _by_instruction(reading: str, items: Sequence[ItemResult]) -> Figure:
    verdicts = [(value, item.cluster) for item in items for value in item.detail.values()]
    known = [(value, cluster) for value, cluster in verdicts if value is not None]
    share = sum(value for value, _ in known) / len(known) if known else None
    made = figure(
        f"ifeval_instructions_{reading}",
        f"IFEval instructions followed, {reading}",
        share,
        mean_interval(known, "share") if known else None,
        items,
        "share",
    )
    return made.model_copy(update={"n": len(verdicts), "unknown": len(verdicts) - len(known)})


def _probe(row: IFEvalPrompt) -> Probe:
    return Probe(id=row.id, group="ifeval", topic="", prompt=(Message(role="user", content=row.prompt),))


IFEVAL = Task(
    name="ifeval",
    title="IFEval",
    home="github.com/google-research/google-research (instruction_following_eval/data/input_data.jsonl)",
    version=1,
    metrics=tuple(
        Metric(f"ifeval_{reading}", f"IFEval prompts: all followed, {reading}", "higher", aspect="helpful")
        for reading in _READINGS
    ),
    files=files,
    read=lambda folder: Loaded.of(files(folder), read_prompts),
    asks=_probe,
    run=run,
    derived=derived,
    items_a_row=len(_READINGS),
    max_new_tokens=1280,
    libraries=("langdetect",),
    chance="above 0: some instructions are followed by accident",
)
