"""`truing reward score FILE`: a reward model on a file of comparisons, or of prompts with answers."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from truing.cli.run import Json
from truing.core.errors import InputError

if TYPE_CHECKING:
    from truing.core.calibration import Share
    from truing.evals.reward import RewardReport, ScoredPair
    from truing.providers.reward import RewardModel

reward = typer.Typer(name="reward", help="Use a reward model: score.", no_args_is_help=True)


@reward.callback()
def _group() -> None:
    """Use a reward model: score."""


@reward.command()
def score(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Comparisons of any format, or rows with `prompt` and `answer`.")],
    model: Annotated[str, typer.Option("--reward", help="The reward model: `ledger:NAME-OR-ID`, or a folder.")],
    base: Annotated[
        str, typer.Option("--model", help="Its trunk: smollm2-135m, hf:OWNER/NAME, a folder, or a GGUF file.")
    ] = "smollm2-135m",
    out: Annotated[Path | None, typer.Option(help="Write the rows' scores to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Score a file's answers; of comparisons also how often the better one wins, and how sure the model is.

    Example: truing reward score rows.jsonl --reward ledger:reward --out scores.jsonl
    """
    from truing.data import answers, files

    if out is not None:
        files.check_target(out)
    single = answers.recognises(file)
    read = answers.read_answers(file) if single else _comparisons(file)
    opened = _open(context, model, base)
    try:
        rows, found = _score_answers(opened, read) if single else _score_pairs(opened, read)
    finally:
        opened.close()
    if out is not None:
        with files.writing(out) as writer:
            for row in rows:
                writer.write(row)
    if as_json:
        report = None if found is None else json.loads(found.model_dump_json())
        typer.echo(json.dumps({"reward": opened.version, "rows": rows, "report": report}))
    elif found is None:
        for row in rows:
            typer.echo(f"{row['reward']:+9.3f}  {row['id']}")
    else:
        show(found, Console())


def _comparisons(file: Path) -> list[Any]:
    from truing.loops.verbs.dataset import load_all

    return load_all([file])


def _open(context: typer.Context, model: str, base: str) -> "RewardModel":
    """The reward model on its trunk."""
    from truing.engine.settings import ModelConfig
    from truing.loops.context import Context
    from truing.providers.reward import RewardModel

    folder = reward_folder(context, model)  # before the trunk is loaded, which takes its time
    return RewardModel(Context(context.obj.ledger, ModelConfig(name=base)).trunk, folder)


def reward_folder(context: typer.Context, model: str) -> Path:
    """The folder of a reward model: `ledger:NAME-OR-ID`, or a folder. Raises `InputError` where it is none."""
    from truing.ledger.ledger import Ledger
    from truing.loops.recipe import LEDGER
    from truing.loops.verbs.kinds import REWARD
    from truing.providers.reward import RewardSettings

    folder = Path(model)
    if model.startswith(LEDGER):
        ledger = Ledger.open(context.obj.ledger, create=False)
        found = ledger.get(model.removeprefix(LEDGER))
        if found.kind != REWARD:
            what = f"--reward {model} is of the kind {found.kind!r}"
            raise InputError(f"{what}; it must be a reward model: `truing ls --kind {REWARD}` lists those")
        folder = ledger.folder(found)
    RewardSettings.read(folder)
    return folder


def _score_answers(model: "RewardModel", read: list[Any]) -> "tuple[list[dict[str, Any]], None]":
    from truing.providers.reward import written

    scores = model.score([(row.prompt, written(row.answer)) for row in read])
    return [{"id": row.id, "reward": value} for row, value in zip(read, scores, strict=True)], None


def _score_pairs(model: "RewardModel", read: list[Any]) -> "tuple[list[dict[str, Any]], RewardReport]":
    """Each comparison's rewards, and the report on those that were decided."""
    from truing.evals.reward import report
    from truing.loops.verbs.reward import score_rows

    pairs = score_rows(model, read)
    decided = [pair for pair, row in zip(pairs, read, strict=True) if not (row.tie or row.both_bad)]
    return [_row(pair, model.settings.temperature) for pair in pairs], report(decided)


def _row(pair: "ScoredPair", temperature: float | None) -> dict[str, Any]:
    """A comparison's scores; `probability` that the chosen answer is the better one, where the model is calibrated."""
    row = {"id": pair.id, "chosen": pair.chosen, "rejected": pair.rejected, "margin": pair.margin}
    return row if temperature is None else {**row, "probability": (1 + math.tanh(pair.margin / temperature / 2)) / 2}


def show(report: "RewardReport", console: Console) -> None:
    """A reward model's report as a short table."""
    accuracy, length = report.accuracy, report.length
    table = Table("", "value", "95% interval", "pairs", box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    interval = f"[{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]"
    table.add_row("accuracy", _percent(accuracy.mean), interval, f"{report.pairs}")
    for name, one in report.by_source.items():
        _share(table, f"  {name or '(no group)'}", one)
    _share(table, "where the chosen answer is longer", length.chosen_longer)
    _share(table, "where it is shorter", length.chosen_shorter)
    _share(table, "accuracy of length alone", length.length_alone)
    table.add_row("correlation of reward and length", _number(length.answers), "", "")
    table.add_row("temperature", _number(report.temperature), "", "")
    table.add_row("calibration error", _percent(report.calibration_error), "", "")
    console.print(table)


def _share(table: Table, name: str, share: "Share") -> None:
    table.add_row(name, _percent(share.share), f"[{100 * share.low:.1f}, {100 * share.high:.1f}]", f"{share.n}")


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f}%"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
