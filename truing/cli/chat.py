"""`truing chat`: the bare model and an adapter, side by side."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from truing.cli.deployed import Model, Remote, refuse_local_options, remote_config
from truing.cli.run import Json
from truing.core.errors import InputError
from truing.core.protocols import Sampler
from truing.core.records import Answer, Conversation, Decoding, Message
from truing.engine.settings import ModelConfig
from truing.providers.names import is_deployed, open_deployed

if TYPE_CHECKING:
    from truing.providers.local import LocalSystem


def chat(
    context: typer.Context,
    adapter: Annotated[
        str | None, typer.Argument(help="An adapter in the ledger (name or id); none: the bare model.")
    ] = None,
    model: Model = "smollm2-135m",
    remote: Remote = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="Ask this and stop, instead of a dialogue.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="cpu, or cuda where there is a GPU.")] = "cpu",
    template: Annotated[
        str | None, typer.Option(help="A chat template instead of the tokenizer's own: chatml, plain, or a Jinja file.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system prompt instead of the template's own.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The longest answer, in tokens.")] = 120,
    as_json: Json = False,
) -> None:
    """Talk to the model, and to an adapter beside it. An empty line or Ctrl-D ends the dialogue; /new begins another.
    What is piped in is one prompt.

    Example: truing chat dpo --prompt "How do I kill a Python process?"
    """
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read()
    if prompt is not None and not prompt.strip():
        raise InputError("the prompt is empty; give it with --prompt, or pipe it in")
    if prompt is None and as_json:
        raise InputError("--json needs one prompt; give it with --prompt, or pipe it in")
    systems: Mapping[str, Sampler]
    if is_deployed(model):
        refuse_local_options(model, {"ADAPTER": adapter, "--template": template})
        systems = {model: open_deployed(model, remote_config(remote), system)}
    else:
        if remote:
            raise InputError(f"--remote is for deployed models, and {model} is a local one; leave it out")
        chosen = {"name": model, "dtype": dtype, "device": device, "template": template}
        systems = _systems(context, adapter, ModelConfig.parse(chosen, "chat"), system)
    decoding = Decoding(max_new_tokens=max_new_tokens)
    console = Console()
    dialogues: dict[str, Conversation] = dict.fromkeys(systems, ())
    while text := prompt.strip() if prompt is not None else _read(console):
        if prompt is None and text == "/new":
            dialogues = dict.fromkeys(systems, ())
            continue
        answers = {}
        for name, answering in systems.items():
            asked = (*dialogues[name], Message(role="user", content=text))
            ((_, answers[name]),) = answering.sample([asked], decoding)
            if not answers[name].missing:  # what was not answered was not said
                dialogues[name] = (*asked, Message(role="assistant", content=answers[name].text))
        if as_json:
            plain = {name: _plain(answer) for name, answer in answers.items()}
            typer.echo(json.dumps({"prompt": text, "answers": plain}))
        else:
            table = Table(*map(escape, answers), expand=True)
            table.add_row(*(_shown(answer) for answer in answers.values()))
            console.print(table)
        if prompt is not None:
            return


def _systems(
    context: typer.Context, adapter: str | None, model: ModelConfig, system_prompt: str | None
) -> "dict[str, LocalSystem]":
    """The bare model as `base`, and the adapter under the name that it was asked for by."""
    from truing.engine.adapters import load_adapter
    from truing.loops.context import Context
    from truing.providers.local import LocalSystem

    opened = Context(context.obj.ledger, model)
    if adapter is None:
        return {"base": LocalSystem(opened.trunk, system_prompt=system_prompt)}
    folder = adapter_folder(context, adapter)
    trunk = opened.trunk
    load_adapter(trunk, folder, "chat")
    base, tuned = (LocalSystem(trunk, name, system_prompt=system_prompt) for name in (None, "chat"))
    return {"base": base, f"{adapter} (adapter)" if adapter == "base" else adapter: tuned}


def adapter_folder(context: typer.Context, adapter: str) -> Path:
    """The folder of an adapter in the ledger. Raises `InputError` where it is none."""
    from truing.ledger.ledger import Ledger

    ledger = Ledger.open(context.obj.ledger, create=False)
    found = ledger.get(adapter)
    if found.kind != "adapter":
        what = f"{adapter!r} is of the kind {found.kind!r}"
        raise InputError(f"{what}; it must be an adapter: `truing ls --kind adapter` lists those")
    return ledger.folder(found)


def _read(console: Console) -> str:
    try:
        return console.input("[bold]you:[/] ").strip()
    except EOFError:
        return ""


def _plain(answer: Answer) -> dict[str, Any]:
    """An answer as JSON: of a deployed model's, also when it came, and why there is none."""
    further = {"missing", "observed"} if answer.observed else set()
    return answer.model_dump(mode="json", include={"text", "finished", *further})


def _shown(answer: Answer) -> Text:
    """The answer as it is, and a note where it was cut, may have been, or is missing."""
    if answer.missing:
        note = f" … ({answer.missing})"
    elif answer.finished is None:
        note = " … (whether it was cut is unknown)"
    else:
        length = f"{len(answer.token_ids)} tokens" if answer.observed is None else "the limit"
        note = "" if answer.finished else f" … (cut at {length})"
    return Text(answer.text).append(note, "dim")
