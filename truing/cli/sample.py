"""`truing sample`: n answers a prompt, and the best of them by a reward."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.chat import adapter_folder
from truing.cli.progress import Display, counted
from truing.cli.reward import reward_folder
from truing.cli.run import Json
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.records import Conversation, Decoding, Message, Progress
from truing.engine.settings import ModelConfig

if TYPE_CHECKING:
    from truing.core.best_of_n import ExpectedBest
    from truing.loops.best_of import Sampled
    from truing.providers.local import LocalSystem

_FILES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz")


def sample(
    context: typer.Context,
    prompts: Annotated[
        str,
        typer.Argument(
            help="A prompt, or a file of prompts, probes or comparisons (JSON Lines, CSV, Parquet …); the same prompt "
            "twice is one."
        ),
    ],
    reward: Annotated[
        str,
        typer.Option(
            help="A rule file (rules.toml), file.py:function, a judge (refusal, admission), ledger:NAME of a reward "
            'model, or a TOML table such as {judge = "refusal", unknown = 0}.'
        ),
    ],
    best_of: Annotated[int, typer.Option(min=1, help="How many answers are drawn for each prompt.")] = 8,
    adapter: Annotated[
        str | None, typer.Option(help="An adapter in the ledger (name or id); none: the bare model.")
    ] = None,
    model: Annotated[str, typer.Option(help="smollm2-135m, hf:OWNER/NAME, a folder, or a GGUF file.")] = "smollm2-135m",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="cpu, or cuda where there is a GPU.")] = "cpu",
    template: Annotated[
        str | None, typer.Option(help="A chat template instead of the tokenizer's own: chatml, plain, or a Jinja file.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system prompt instead of the template's own.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="1: the model's own distribution.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The longest answer, in tokens.")] = 48,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Keep every answer in this JSON Lines file; the same command goes on from it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw several answers to each prompt and show the best by a reward, how far that goes from the model (KL) and what
    more answers would bring.

    Example: truing sample "Why is the sky blue?" --best-of 8 --reward rules.toml
    """
    from truing.core.best_of_n import best_curve
    from truing.judges.rewards import open_reward, parse_reward
    from truing.loops.best_of import Sampled, SampleFile, keys_of
    from truing.loops.best_of import best_of as run_best_of
    from truing.providers.reward import RewardModel

    asked = _prompts(prompts)
    setting = parse_reward(reward, "--reward")
    models = {name: reward_folder(context, name) for name in setting.models()}
    decoding = Decoding(temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
    chosen = {"name": model, "dtype": dtype, "device": device, "template": template}
    scored = None if models else open_reward(setting)  # a bad rule is told before the model is loaded
    answering, identity = _system(context, adapter, ModelConfig.parse(chosen, "sample"), system)
    if scored is None:
        scored = open_reward(setting, lambda name: RewardModel(answering.trunk, models[name], name=name))
    keys = keys_of(asked, identity, scored, best_of, decoding)
    file = SampleFile(out, keys) if out else None
    found = dict(file.kept) if file else {}
    left = [number for number, key in enumerate(keys) if key not in found]
    with Display(Console(stderr=True), quiet=as_json) as display:
        if len(left) < len(asked):
            display.line(f"{counted(len(asked) - len(left), 'prompt')} of {len(asked)} kept in {out}")
        display.stage("sampling", len(left) * best_of)
        for record in run_best_of(
            answering, scored, [asked[n] for n in left], [keys[n] for n in left], best_of, decoding
        ):
            if isinstance(record, Progress):
                display.advance(record.done, record.total, "answers")
            elif isinstance(record, Sampled):
                found[record.key] = record
                if file:
                    file.add(record)
    results = [found[key] for key in keys]
    curve = best_curve([[candidate.reward for candidate in one.candidates] for one in results])
    if as_json:
        typer.echo(json.dumps(_plain(results, curve)))
    else:
        _print(results, curve)


def _prompts(text: str) -> list[Conversation]:
    """The prompts of a file, or the text as one. A name that ends like a file's is never taken for a prompt."""
    from truing.data.prompts import read_prompts
    from truing.data.validate import check_prompt

    path = Path(text)
    if text.endswith(_FILES) or (len(text) < 256 and path.is_file()):
        return read_prompts(path)
    if not text.strip():
        raise InputError("the prompt is empty; give a prompt, or a file of prompts")
    prompt = (Message(role="user", content=text),)
    check_prompt(prompt)
    return [prompt]


def _system(
    context: typer.Context, adapter: str | None, model: ModelConfig, system_prompt: str | None
) -> "tuple[LocalSystem, str]":
    """What answers, and the digest of all that its answers depend on beside prompt and decoding."""
    from truing.engine.adapters import adapter_files, load_adapter
    from truing.loops.context import Context
    from truing.providers.local import LocalSystem

    folder = None if adapter is None else adapter_folder(context, adapter)
    trunk = Context(context.obj.ledger, model).trunk
    name, weights = None, None
    if folder is not None:
        name, weights = "sampled", [digest_file(file) for file in adapter_files(folder)]
        load_adapter(trunk, folder, name)
    system = LocalSystem(trunk, name, system_prompt=system_prompt)
    template = trunk.tokenizer.chat_template
    return system, digest([trunk.sha256, str(trunk.dtype), trunk.device.type, template, weights, system_prompt])


def _plain(results: "Sequence[Sampled]", curve: "Sequence[ExpectedBest]") -> dict[str, Any]:
    return {
        "best_of": curve[-1].n,
        "kl_bound": curve[-1].kl_bound,
        "win_rate_bound": curve[-1].win_rate_bound,
        "expected_best": [point.model_dump(include={"n", "reward", "low", "high", "kl_bound"}) for point in curve],
        "prompts": [one.model_dump(mode="json", exclude={"key"}) for one in results],
    }


def _print(results: "Sequence[Sampled]", curve: "Sequence[ExpectedBest]") -> None:
    console = Console()
    for one in results:
        best = one.candidates[one.best]
        console.print(f"[bold]{escape(one.prompt[-1].content)}[/]", highlight=False, soft_wrap=True)
        console.print(escape(best.answer), highlight=False, soft_wrap=True)
        cut = "" if best.finished else f", cut at {best.tokens} tokens"
        parts = "".join(f", {name} {score:.3f}" for name, score in best.parts.items())
        console.print(escape(f"reward {best.reward:.3f}{parts}{cut}\n"), style="dim", highlight=False, soft_wrap=True)
    last = curve[-1]
    console.print(
        f"best of {last.n}: at most {last.kl_bound:.3f} nats from the model (KL); "
        f"wins at most {last.win_rate_bound:.1%} of duels with one answer",
        highlight=False,
        soft_wrap=True,
    )
    table = Table("n", "expected best reward", "95% interval", "KL at most", box=SIMPLE_HEAD, pad_edge=False)
    for point in curve:
        known = point.low is not None and point.high is not None
        interval = f"{point.low:.3f} to {point.high:.3f}" if known else "unknown"
        table.add_row(str(point.n), f"{point.reward:.3f}", interval, f"{point.kl_bound:.3f}")
    console.print(table)
    if last.low is None:
        console.print("One prompt says nothing of how much prompts differ: give more for an interval.", highlight=False)
