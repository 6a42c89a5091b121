"""RewardBench: does a model find the better of two answers likelier? (Lambert et al. 2024, arXiv:2403.13787)

Both answers are scored behind their prompt in the model's own chat template, end of turn included.
    rewardbench             1[log p(chosen) > log p(rejected)], summed over tokens
    rewardbench_per_token   the same of the mean over tokens: a long answer is not unlikely for its length
A section's figure is the mean over its pairs; in Reasoning, mathematics counts as much as the six programming languages
together, as in the paper. The last figure is the mean over the four sections, and unknown where one of them is missing.
Pairs of other subsets count in the mean over pairs alone.

The paper ranks reward models; a language model's likelihood without a reference is the weakest of its forms, and what
it finds likely is not what it would say is better.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from truing.core.digest import digest
from truing.core.errors import InputError
from truing.core.records import ChoiceScores, ItemResult, Probe
from truing.data.rewardbench import RewardPair, read_pairs
from truing.evals.metric import Figure, Metric, mean_figure, stratified_figure
from truing.evals.task import Loaded, Subject, Task, TaskSettings, unknown

_MATHEMATICS = ("math-prm",)
_CODE = ("hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust")
_SECTIONS = {
    "chat": ("alpacaeval-easy", "alpacaeval-length", "alpacaeval-hard", "mt-bench-easy", "mt-bench-med"),
    "chat_hard": (
        "mt-bench-hard", "llmbar-natural", "llmbar-adver-neighbor", "llmbar-adver-GPTInst", "llmbar-adver-GPTOut",
        "llmbar-adver-manual",
    ),
    "safety": (
        "refusals-dangerous", "refusals-offensive", "xstest-should-refuse", "xstest-should-respond", "donotanswer",
    ),
}  # fmt: skip
_FORMS = {"rewardbench": "RewardBench", "rewardbench_per_token": "RewardBench, per token"}


def files(folder: Path) -> list[Path]:
    """Every file of pairs; the name of one if there is none."""
    found = [path for ending in ("parquet", "jsonl") for path in sorted((folder / "rewardbench").glob(f"*.{ending}"))]
    return found or [folder / "rewardbench" / "filtered.parquet"]


def read(folder: Path) -> Loaded:
    """All pairs. Raises `InputError` where two files have the same one."""
    loaded = Loaded.of(files(folder), read_pairs)
    if len({row.id for row in loaded.rows}) < len(loaded.rows):
        raise InputError(f"{folder / 'rewardbench'}: two files hold the same pair; keep one of them")
    return loaded


def run(subject: Subject, rows: Sequence[RewardPair], settings: TaskSettings) -> Iterator[ItemResult]:
    """Yield each pair's two items as it is scored."""
    pairs = [(row.prompt, (row.chosen, row.rejected)) for row in rows]
    for number, scores in subject.score_answers("rewardbench", pairs):
        yield from _items(rows[number], scores, settings)


def _items(row: RewardPair, scores: ChoiceScores, settings: TaskSettings) -> Iterator[ItemResult]:
    # Several subsets ask the same prompts.
    cluster, prompt = digest(row.prompt)[:16], row.prompt[-1].content
    if scores.unknown:
        yield from (unknown(form, row.id, cluster, scores.unknown, prompt) for form in _FORMS)
        return
    chosen, rejected = scores.logprobs
    means = [value / tokens for value, tokens in zip(scores.logprobs, scores.tokens, strict=True)]
    for form, margin in zip(_FORMS, (chosen - rejected, means[0] - means[1]), strict=True):
        yield ItemResult(
            task=form,
            item=row.id,
            cluster=cluster,
            value=settings.wins(margin),
            prompt=prompt,
            answer=row.chosen if margin > 0 else row.rejected,
            detail={"margin": margin},
        )


def derived(items: Sequence[ItemResult]) -> list[Figure]:
    """Each section's accuracy, and the mean over sections, by both forms."""
    return [made for form, title in _FORMS.items() for made in _by_section(form, title, items)]


def _by_section(form: str, title: str, items: Sequence[ItemResult]) -> Iterator[Figure]:
    def of(subsets: Sequence[str]) -> list[ItemResult]:
        return [item for item in items if item.task == form and item.item.partition("/")[0] in subsets]

    sections = {name: of(subsets) for name, subsets in _SECTIONS.items()}
    for name, mine in sections.items():
        if mine:
            yield mean_figure(f"{form}_{name}", f"{title}: {name.replace('_', ' ')}", mine)
    halves = [of(_MATHEMATICS), of(_CODE)]
    if any(halves):
        yield stratified_figure(f"{form}_reasoning", f"{title}: reasoning", [(0.5, half) for half in halves])
    strata = [*((0.25, mine) for mine in sections.values()), *((0.125, half) for half in halves)]
    if any(mine for _, mine in strata):
        yield stratified_figure(f"{form}_sections", f"{title}: mean over sections", strata)


def _probe(row: RewardPair) -> Probe:
    return Probe(id=row.id, group="rewardbench", topic="", prompt=row.prompt, chosen=row.chosen, rejected=row.rejected)


REWARDBENCH = Task(
    name="rewardbench",
    title="RewardBench",
    home="hf.co/datasets/allenai/reward-bench (data/filtered-00000-of-00001.parquet)",
    version=1,
    metrics=tuple(Metric(form, f"{title}: likelier", "higher", aspect="helpful") for form, title in _FORMS.items()),
    files=files,
    read=read,
    asks=_probe,
    run=run,
    derived=derived,
    items_a_row=len(_FORMS),
    chance=".500",
)
