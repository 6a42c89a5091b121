"""`truing train`: one training step, from comparisons, judged answers or a reward, without writing a recipe."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from truing.cli.reward import show
from truing.cli.run import Json, Set, as_plain, execute, prepare
from truing.core.config import apply_overrides
from truing.core.errors import InputError

train = typer.Typer(
    name="train",
    help="Train an adapter: sft, preference, unpaired, ppo, rloo, grpo, online-dpo; or a reward model: reward.",
    no_args_is_help=True,
)
Data = Annotated[
    str, typer.Argument(help="A JSON Lines file of comparisons, `starter`, or `ledger:NAME` of an import.")
]
Model = Annotated[str, typer.Option(help="smollm2-135m, hf:OWNER/NAME, a folder, or a GGUF file.")]
Seed = Annotated[int, typer.Option(help="Seed of the run.")]


@train.command()
def sft(
    context: typer.Context,
    data: Data,
    model: Model = "smollm2-135m",
    seed: Seed = 0,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Supervised fine-tuning on the better answers.

    Example: truing train sft comparisons.jsonl --set sft.epochs=1
    """
    steps = {"sft": {"verb": "sft", "data": "comparisons"}}
    _train(context, data, model, seed, changes, as_json, steps)


@train.command()
def preference(
    context: typer.Context,
    data: Data,
    model: Model = "smollm2-135m",
    after_sft: Annotated[bool, typer.Option("--after-sft/--from-base", help="Begin with SFT on the same rows.")] = True,
    seed: Seed = 0,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """A preference loss on the pairs: dpo, or another of docs/methods.md.

    Example: truing train preference comparisons.jsonl --set preference.loss=ipo
    """
    steps: dict[str, Any] = {}
    if after_sft:
        steps["sft"] = {"verb": "sft", "data": "comparisons"}
    steps["preference"] = {"verb": "preference", "data": "comparisons", **({"start_from": "sft"} if after_sft else {})}
    _train(context, data, model, seed, changes, as_json, steps)


@train.command()
def unpaired(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="A file of judged answers: prompt, completion, label.")],
    model: Model = "smollm2-135m",
    seed: Seed = 0,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """KTO or BCO on single answers that were called good or bad.

    Example: truing train unpaired thumbs.jsonl --set unpaired.loss=bco
    """
    steps = {"judged": {"verb": "judged", "source": data}, "unpaired": {"verb": "unpaired", "data": "judged"}}
    _run(context, steps, model, seed, changes, as_json)


@train.command()
def reward(
    context: typer.Context,
    data: Data,
    model: Model = "smollm2-135m",
    held_out: Annotated[float, typer.Option(help="Rows to report on: a share, or from 1 on their number.")] = 0.1,
    seed: Seed = 0,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """A reward model from the pairs, and its report on rows that it did not see.

    Example: truing train reward comparisons.jsonl --set reward.epochs=2
    """
    steps = {"reward": {"verb": "reward", "data": "comparisons"}}
    _train(context, data, model, seed, changes, as_json, steps, held_out)


Scored = Annotated[
    str,
    typer.Option(
        "--reward",
        help="What answers earn: a rule file (rules.toml), file.py:function, a judge (refusal, admission), "
        'ledger:NAME of a reward model, or a TOML table such as {judge = "refusal", unknown = 0}.',
    ),
]
AfterSFT = Annotated[bool, typer.Option("--after-sft/--from-base", help="Begin with SFT on the better answers.")]


@train.command()
def ppo(
    context: typer.Context,
    data: Data,
    reward: Scored,
    model: Model = "smollm2-135m",
    after_sft: AfterSFT = False,
    seed: Seed = 0,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Proximal policy optimisation, with a critic, by a reward of the model's own answers to the rows' prompts.

    Example: truing train ppo comparisons.jsonl --reward rewards.py:short
    """
    _train(context, data, model, seed, changes, as_json, _policy("ppo", reward, after_sft))


@train.command()
def rloo(
    context: typer.Context,
    data: Data,
    reward: Scored,
    model: Model = "smollm2-135m",
    after_sft: AfterSFT = False,
    seed: Seed = 0,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """REINFORCE leave-one-out by a reward of the model's own answers: no critic, each answer against the others.

    Example: truing train rloo comparisons.jsonl --reward rewards.py:short --set rloo.iterations=10
    """
    _train(context, data, model, seed, changes, as_json, _policy("rloo", reward, after_sft))


@train.command()
def grpo(
    context: typer.Context,
    data: Data,
    reward: Scored,
    model: Model = "smollm2-135m",
    after_sft: AfterSFT = False,
    seed: Seed = 0,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Group-relative policy optimisation (also Dr. GRPO and GSPO) by a reward of the model's own answers.

    Example: truing train grpo comparisons.jsonl --reward rewards.py:short --set grpo.divide_by_std=false
    """
    _train(context, data, model, seed, changes, as_json, _policy("grpo", reward, after_sft))


@train.command()
def online_dpo(
    context: typer.Context,
    data: Data,
    reward: Scored,
    model: Model = "smollm2-135m",
    after_sft: AfterSFT = False,
    seed: Seed = 0,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """DPO on pairs of the model's own answers, drawn anew in every round and told apart by a reward.

    Example: truing train online-dpo comparisons.jsonl --reward rewards.py:short --set online_dpo.kl.coefficient=0.2
    """
    _train(context, data, model, seed, changes, as_json, _policy("online_dpo", reward, after_sft))


def _policy(verb: str, reward: str, after_sft: bool) -> dict[str, Any]:
    """The steps of a training by rewards. A trained model is a role of its step, so that it is among its parents."""
    from truing.judges.rewards import parse_reward

    step: dict[str, Any] = {"verb": verb, "data": "comparisons"}
    setting = parse_reward(reward, "--reward")
    models = setting.models()
    if len(models) > 1:
        raise InputError(f"--reward: a sum may hold one trained model, and this one names {', '.join(sorted(models))}")
    for name in models:
        step["reward_model"] = name
    if setting.model is None:
        step["reward"] = _in_role(setting.model_dump(mode="json", exclude_none=True))
    steps = {"sft": {"verb": "sft", "data": "comparisons"}} if after_sft else {}
    return {**steps, verb: {**step, **({"start_from": "sft"} if after_sft else {})}}


def _in_role(setting: dict[str, Any]) -> dict[str, Any]:
    """A reward's setting with its trained model named by the role."""
    named = {**setting, "model": "reward_model"} if "model" in setting else setting
    return {**named, "sum": [_in_role(part) for part in named["sum"]]} if "sum" in named else named


def _train(
    context: typer.Context,
    data: str,
    model: str,
    seed: int,
    changes: list[str] | None,
    as_json: bool,
    steps: dict[str, Any],
    held_out: float | None = None,
) -> None:
    from truing.loops.recipe import LEDGER
    from truing.starter import STARTER

    # The starter's probes are held out from its own rows; other rows have probes of their own, in a recipe.
    dataset: dict[str, Any] = {"verb": "dataset", "probes": STARTER if data == STARTER else ""}
    if held_out is not None:
        dataset["held_out"] = held_out
    dataset["imported" if data.startswith(LEDGER) else "source"] = data
    _run(context, {"comparisons": dataset, **steps}, model, seed, changes, as_json)


def _run(
    context: typer.Context, steps: dict[str, Any], model: str, seed: int, changes: list[str] | None, as_json: bool
) -> None:
    values = {"name": "train", "model": {"name": model}, "seed": seed, **steps}
    recipe, prepared = prepare(apply_overrides(values, changes or []), "train", context.obj.ledger)
    finished = execute(recipe, prepared, Console(stderr=as_json), quiet=as_json)
    if as_json:
        typer.echo(json.dumps(as_plain(finished)))
        return
    last = list(finished.values())[-1].artifact
    folder = prepared.ledger.folder(last)
    typer.echo(f"{last.kind} {last.short} in {relative(folder)}")
    if last.kind == "reward":
        from truing.evals.reward import RewardReport

        show(RewardReport.model_validate_json((folder / "report.json").read_text("utf-8")), Console())
        typer.echo(f"use it: truing reward score FILE --reward ledger:{last.name}")
    else:
        typer.echo(f"try it: truing chat {last.name}")


def relative(path: Path) -> Path:
    """A path as seen from the working folder, where it lies inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
