"""`truing sample`: n answers a prompt, and the best of them by a reward."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.chat import adapter_folder
from truing.cli.deployed import Model, Remote, refuse_local_options, remote_config
from truing.cli.progress import Display, counted
from truing.cli.reward import reward_folder
from truing.cli.run import Json
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError, RunError
from truing.core.protocols import Reward, Sampler
from truing.core.records import Conversation, Decoding, Message, Progress
from truing.engine.settings import ModelConfig
from truing.providers.names import is_deployed

if TYPE_CHECKING:
    from truing.core.best_of_n import ExpectedBest
    from truing.judges.rewards import RewardSetting
    from truing.loops.best_of import Candidate, Sampled
    from truing.providers.remote import RemoteSystem

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
    model: Model = "smollm2-135m",
    remote: Remote = None,
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
    from truing.judges.rewards import parse_reward
    from truing.loops.best_of import Sampled, SampleFile, keys_of
    from truing.loops.best_of import best_of as run_best_of

    asked = _prompts(prompts)
    setting = parse_reward(reward, "--reward")
    decoding = Decoding(temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
    answering: Sampler
    deployed: RemoteSystem | None = None
    if is_deployed(model):
        refuse_local_options(model, {"--adapter": adapter, "--template": template})
        deployed, scored = _deployed(model, remote, system, setting)
        answering, identity = deployed, deployed.identity
    else:
        if remote:
            raise InputError(f"--remote is for deployed models, and {model} is a local one; leave it out")
        chosen = {"name": model, "dtype": dtype, "device": device, "template": template}
        answering, identity, scored = _local(context, adapter, ModelConfig.parse(chosen, "sample"), system, setting)
    keys = keys_of(asked, identity, scored, best_of, decoding)
    file = SampleFile(out, keys) if out else None
    found = dict(file.kept) if file else {}
    left = [number for number, key in enumerate(keys) if key not in found]
    stopped: RunError | None = None
    with Display(Console(stderr=True), quiet=as_json) as display:
        if len(left) < len(asked):
            display.line(f"{counted(len(asked) - len(left), 'prompt')} of {len(asked)} kept in {out}{_times(found)}")
        display.stage("sampling", len(left) * best_of)
        try:
            for record in run_best_of(
                answering, scored, [asked[n] for n in left], [keys[n] for n in left], best_of, decoding
            ):
                if isinstance(record, Progress):
                    display.advance(record.done, record.total, "answers")
                elif isinstance(record, Sampled):
                    found[record.key] = record
                    if file:
                        file.add(record)
        except RunError as error:  # what came before it is shown, and then this
            stopped = error
        finally:
            display.end_stage()
            if deployed is not None:
                display.line(escape(f"{deployed.name}: {deployed.spending}"))
    spending = None if deployed is None else deployed.spending.model_dump()
    _tell(model, [found[key] for key in keys if key in found], stopped, spending, as_json)


def _tell(
    model: str,
    results: "Sequence[Sampled]",
    stopped: RunError | None,
    spending: Mapping[str, Any] | None,
    as_json: bool,
) -> None:
    """Show what came; then raise what stopped the run, or that nothing came."""
    from truing.core.best_of_n import best_curve

    rewards = [one.rewards for one in results if one.rewards]
    if rewards and as_json:
        further = {} if spending is None else {"spending": spending}
        typer.echo(json.dumps({**_plain(results, best_curve(rewards)), **further}))
    elif rewards:
        _print(results, best_curve(rewards))
    if stopped is not None:
        raise stopped
    if not rewards:
        reason = next((one.missing for result in results for one in result.candidates), "no prompt was left")
        raise RunError(f"{model}: there is no answer to any prompt; the first is missing for this reason: {reason}")


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


def _local(
    context: typer.Context,
    adapter: str | None,
    model: ModelConfig,
    system_prompt: str | None,
    setting: "RewardSetting",
) -> tuple[Sampler, str, Reward]:
    """What answers, the digest of all that its answers depend on beside prompt and decoding, and what scores them."""
    from truing.engine.adapters import adapter_files, load_adapter
    from truing.judges.rewards import open_reward
    from truing.loops.context import Context
    from truing.providers.local import LocalSystem
    from truing.providers.reward import RewardModel

    models = {name: reward_folder(context, name) for name in setting.models()}
    scored = None if models else open_reward(setting)  # a bad rule is told before the model is loaded
    folder = None if adapter is None else adapter_folder(context, adapter)
    trunk = Context(context.obj.ledger, model).trunk
    name, weights = None, None
    if folder is not None:
        name, weights = "sampled", [digest_file(file) for file in adapter_files(folder)]
        load_adapter(trunk, folder, name)
    if scored is None:
        scored = open_reward(setting, lambda name: RewardModel(trunk, models[name], name=name))
    template = trunk.tokenizer.chat_template
    identity = digest([trunk.sha256, str(trunk.dtype), trunk.device.type, template, weights, system_prompt])
    return LocalSystem(trunk, name, system_prompt=system_prompt), identity, scored


def _deployed(
    model: str, remote: list[str] | None, system_prompt: str | None, setting: "RewardSetting"
) -> "tuple[RemoteSystem, Reward]":
    from truing.judges.rewards import open_reward
    from truing.providers.names import open_deployed

    if setting.models():
        raise InputError(
            f"--reward: a trained reward model reads with a local model's weights, and {model} has none here; name a "
            "rule, function or judge"
        )
    scored = open_reward(setting)
    return open_deployed(model, remote_config(remote), system_prompt), scored


def _times(found: "Mapping[str, Sampled]") -> str:
    """When a deployed model gave the answers that are kept: they say nothing of how it answers now."""
    times = [c.observed.time for one in found.values() for c in one.candidates if c.observed]
    if not times:
        return ""
    first, last = (time.isoformat(timespec="seconds") for time in (min(times), max(times)))
    return f", answered {f'at {first}' if first == last else f'from {first} to {last}'}"


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
        console.print(f"[bold]{escape(one.prompt[-1].content)}[/]", highlight=False, soft_wrap=True)
        if one.best is None:
            console.print(escape(f"no answer: {one.candidates[0].missing}\n"), highlight=False, soft_wrap=True)
            continue
        best = one.candidates[one.best]
        console.print(escape(best.answer), highlight=False, soft_wrap=True)
        parts = "".join(f", {name} {score:.3f}" for name, score in best.parts.items())
        line = f"reward {best.reward:.3f}{parts}{_end(best)}\n"
        console.print(escape(line), style="dim", highlight=False, soft_wrap=True)
    _print_missing(console, results)
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


def _end(candidate: "Candidate") -> str:
    """How an answer ended, where not by itself."""
    if candidate.finished is None:
        return ", whether it was cut is unknown"
    length = "the limit" if candidate.tokens is None else f"{candidate.tokens} tokens"
    return "" if candidate.finished else f", cut at {length}"


def _print_missing(console: Console, results: "Sequence[Sampled]") -> None:
    """How many answers are missing, and why: the commonest reasons first."""
    reasons = Counter(one.missing for result in results for one in result.candidates if one.missing)
    if reasons:
        total = sum(len(result.candidates) for result in results)
        console.print(f"{reasons.total()} of {total} answers are missing:", highlight=False, soft_wrap=True)
        for reason, count in reasons.most_common(5):
            console.print(escape(f"  {count}: {reason}"), highlight=False, soft_wrap=True)
