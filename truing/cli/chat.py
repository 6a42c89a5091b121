"""`truing chat`: the bare model and an adapter, side by side."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def chat(
    context: typer.Context,
    adapter: Annotated[str | None, typer.Argument(help="An adapter in the ledger (name or id); none: the bare model.")] = None,
    model: Annotated[str, typer.Option(help="smollm2-135m, hf:OWNER/NAME, a folder, or a GGUF file.")] = "smollm2-135m",
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="Ask this and stop, instead of a dialogue.")] = None,
    system: Annotated[str | None, typer.Option(help="A system prompt instead of the template's own.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The longest answer, in tokens.")] = 120,
) -> None:
    """Talk to the model, and to an adapter beside it. An empty line or Ctrl-D ends the dialogue; /new begins another.

    Example: truing chat dpo --prompt "How do I kill a Python process?"
    """
    from truing.core.errors import InputError
    from truing.core.records import Conversation, Decoding, Message
    from truing.engine.adapters import load_adapter
    from truing.engine.trunk import Trunk
    from truing.ledger.ledger import Ledger
    from truing.providers.local import LocalSystem

    folder = None
    if adapter is not None:
        ledger = Ledger.open(context.obj.ledger, create=False)
        found = ledger.get(adapter)
        if found.kind != "adapter":
            raise InputError(f"{adapter!r} is a {found.kind}, not an adapter; list those with `truing ls --kind adapter`")
        folder = ledger.folder(found)
    trunk = Trunk.load(model)
    systems = {"base": LocalSystem(trunk, system_prompt=system)}
    if folder is not None and adapter is not None:
        load_adapter(trunk, folder, "chat")
        systems[adapter] = LocalSystem(trunk, "chat", system_prompt=system)
    console = Console()
    decoding = Decoding(max_new_tokens=max_new_tokens)
    dialogues: dict[str, Conversation] = {name: () for name in systems}
    while True:
        text = prompt if prompt is not None else _read(console)
        if not text:
            return
        if text == "/new":
            dialogues = {name: () for name in systems}
            continue
        table = Table(*systems, expand=True)
        for name, local in systems.items():
            asked = (*dialogues[name], Message(role="user", content=text))
            ((_, answer),) = local.sample([asked], decoding)
            dialogues[name] = (*asked, Message(role="assistant", content=answer.text))
        table.add_row(*(dialogues[name][-1].content for name in systems))
        console.print(table, highlight=False)
        if prompt is not None:
            return


def _read(console: Console) -> str:
    try:
        return console.input("[bold]you:[/] ").strip()
    except (EOFError, KeyboardInterrupt):
        return ""
