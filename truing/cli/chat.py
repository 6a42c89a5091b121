"""`truing chat`: the bare model and an adapter, side by side."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from truing.cli.run import Json
from truing.core.errors import InputError
from truing.core.records import Answer, Conversation, Decoding, Message
from truing.engine.settings import ModelConfig

if TYPE_CHECKING:
    from truing.providers.local import LocalSystem


def chat(
    context: typer.Context,
    adapter: Annotated[
        str | None, typer.Argument(help="An adapter in the ledger (name or id); none: the bare model.")
    ] = None,
    model: Annotated[str, typer.Option(help="smollm2-135m, hf:OWNER/NAME, a folder, or a GGUF file.")] = "smollm2-135m",
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
        for name, local in systems.items():
            asked = (*dialogues[name], Message(role="user", content=text))
            ((_, answers[name]),) = local.sample([asked], decoding)
            dialogues[name] = (*asked, Message(role="assistant", content=answers[name].text))
        if as_json:
            plain = {name: answer.model_dump(include={"text", "finished"}) for name, answer in answers.items()}
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


def _shown(answer: Answer) -> Text:
    """The answer as it is, and a note where it was cut."""
    note = "" if answer.finished else f" … (cut at {len(answer.token_ids)} tokens)"
    return Text(answer.text).append(note, "dim")
