"""The command-line reference: current, complete, the same everywhere; its examples are what the verbs accept."""

import re
import shlex
from pathlib import Path
from typing import Annotated

import pytest
import typer

from scripts import cli_reference
from scripts.cli_reference import MissingExampleError, example, main, reference, walk
from truing.cli.app import app

TREE = list(walk(typer.main.get_command(app), "truing"))
VERBS = [(command, context) for command, context in TREE if not hasattr(command, "commands")]
EXAMPLES = [(context.command_path, example(command, context.command_path)) for command, context in VERBS]


def test_the_page_on_disk_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_every_registered_verb_and_sub_verb_has_a_section() -> None:
    """The oracle is what was registered with Typer, not the tree that the script walks."""
    expected = {f"truing {_name(verb)}" for verb in app.registered_commands}
    for group in app.registered_groups:
        inner = group.typer_instance
        expected |= {f"truing {inner.info.name}"} | {
            f"truing {inner.info.name} {_name(verb)}" for verb in inner.registered_commands
        }
    headings = set(re.findall(r"^##+ (truing .+)$", reference(), flags=re.MULTILINE))
    assert headings == expected


def _name(verb: "typer.models.CommandInfo") -> str:
    assert verb.callback is not None
    return verb.name or verb.callback.__name__.replace("_", "-")


def test_every_argument_and_option_stands_in_its_verbs_section() -> None:
    sections = dict(re.findall(r"^##+ (truing.*)\n((?:(?!^##).*\n?)*)", reference(), flags=re.MULTILINE))
    for command, context in TREE:
        for parameter in command.get_params(context):
            shown = parameter.metavar if parameter.param_type_name == "argument" else None
            for written in (shown,) if shown else (*parameter.opts, *parameter.secondary_opts):
                if written != "--help":
                    assert re.search(
                        rf"^\| `.*{re.escape(written)}(?!\w)", sections[context.command_path], flags=re.MULTILINE
                    ), written


def test_links_of_the_contents_lead_to_sections() -> None:
    page = reference()
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^##+ (.+)$", page, flags=re.MULTILINE)}
    links = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert links <= anchors
    assert len(links) == len(VERBS)


@pytest.mark.parametrize(("path", "shown"), EXAMPLES)
def test_an_example_is_accepted_by_its_verbs_own_parser(path: str, shown: str) -> None:
    command = next(command for command, context in VERBS if context.command_path == path)
    words = shlex.split(shown)
    assert words[: len(path.split())] == path.split()
    assert command.make_context(path, words[len(path.split()) :]).params  # a wrong option would raise


def test_terminal_and_environment_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference()
    for name, value in {"COLUMNS": "30", "TRUING_LEDGER": "elsewhere", "FORCE_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    assert reference() == before
    assert "\x1b" not in before


def test_a_page_that_differs_is_one_sentence_and_writing_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "cli.md"
    monkeypatch.setattr(cli_reference, "PAGE", page)
    for damage in (lambda: None, lambda: page.write_text(reference().replace("--ledger", "--legder")), page.unlink):
        damage()
        assert main(["--check"]) == 1
        error = capsys.readouterr().err
        assert "run `python scripts/cli_reference.py`" in error
        assert error.count("\n") == 1
        assert main([]) == 0
        assert main(["--check"]) == 0


def _bare(name: Annotated[str, typer.Argument(help="What to call it.")]) -> None:
    """Do something.

    Example: truing another thing
    """


def test_a_verb_whose_help_has_no_example_of_its_own_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    application, inner = typer.Typer(), typer.Typer(name="group")
    inner.command("one")(_bare)
    inner.command("two")(_bare)
    application.add_typer(inner)
    with pytest.raises(
        MissingExampleError, match=r"truing group one, truing group two: no line 'Example: truing group one"
    ):
        reference(application)

    def broken() -> str:
        return reference(application)

    monkeypatch.setattr(cli_reference, "reference", broken)
    for arguments in ([], ["--check"]):
        assert main(arguments) == 1
        assert "truing group one" in capsys.readouterr().err
