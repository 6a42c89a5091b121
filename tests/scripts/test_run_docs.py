"""run_docs: a page whose examples are true passes, and a page with one false line, code or tag does not."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.run_docs import first_missing, main

Check = Callable[[str], tuple[int, str]]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Run a page with this text; returns the exit code and what was printed."""

    def run(text: str) -> tuple[int, str]:
        page = tmp_path / "page.md"
        page.write_text(text, encoding="utf-8")
        code = main([str(page)])
        return code, capsys.readouterr().out

    return run


def console(*lines: str, tags: str = "") -> str:
    return "\n".join([f"```console {tags}".rstrip(), *lines, "```", ""])


def test_a_true_page_passes_and_each_command_is_shown_with_its_line_and_seconds(check: Check) -> None:
    code, out = check("# Title\n\n" + console("$ echo one", "one", "$ echo two"))
    assert code == 0
    first, second, total = out.splitlines()
    assert first.endswith(" s)")
    assert "page.md:4: echo one  (" in first
    assert "page.md:6: echo two  (" in second
    assert "2 examples ran" in total


def test_a_wrong_expected_line_fails_with_where_what_and_both_outputs(check: Check) -> None:
    code, out = check(console("$ printf 'one\\ntwo\\n'", "one", "three"))
    assert code == 1
    assert "page.md:2: printf" in out
    assert "lacks the line 'three'" in out
    assert "--- expected\none\nthree\n--- actual\none\ntwo\n" in out


def test_what_is_not_expected_is_not_compared(check: Check) -> None:
    assert check(console("$ printf 'one\\ntwo\\nthree\\n'", "two"))[0] == 0
    assert check(console("$ echo anything"))[0] == 0
    assert check(console("$ echo one", "nothing of the sort", tags="no-compare"))[0] == 0


@pytest.mark.parametrize(
    ("command", "tags", "passes"),
    [
        ("true", "", True),
        ("false", "", False),
        ("exit 2", "exit=2", True),
        ("exit 3", "exit=2", False),
        ("true", "exit=2", False),
        ("exit 2", "no-compare", False),  # not compared, but still not allowed to fail
        ("false | true", "", False),
    ],
)
def test_the_exit_code_must_be_the_one_that_the_page_says(check: Check, command: str, tags: str, passes: bool) -> None:
    code, out = check(console(f"$ {command}", tags=tags))
    assert code == (0 if passes else 1)
    assert ("exit code" in out) is not passes


def test_a_page_stops_at_its_first_failure_and_the_next_page_still_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.md").write_text(console("$ false", "$ touch reached"))
    (tmp_path / "good.md").write_text(console("$ test ! -e reached"))
    assert main([str(tmp_path / "bad.md"), str(tmp_path / "good.md")]) == 1
    out = capsys.readouterr().out
    assert "touch reached" not in out
    assert "good.md: 1 examples ran" in out


@pytest.mark.parametrize(
    ("expected", "matches"),
    [
        (["imported 3 rows as kitchen (…)"], True),
        (["… 3 rows …"], True),
        (["imported 3 rows as kitchen (a81e)…"], False),  # one or more characters, not none
        (["imported"], False),  # a whole line, not a part of it
        (["imported    3   rows\tas kitchen (a81e)"], True),
        (["imported . rows as kitchen (a81e)"], False),  # no pattern but the ellipsis
        (["…", "done"], True),
        (["", "  …  ", "done"], True),
        (["done", "imported …"], False),  # the page's order
        (["done", "done"], False),
    ],
)
def test_lines_are_matched_whole_in_order_with_ellipses_and_equal_white_space(
    expected: list[str], matches: bool
) -> None:
    assert (first_missing(expected, "imported 3 rows as  kitchen (a81e)\n\n  done\n") is None) is matches


printable = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="…"), min_size=1)


@given(st.lists(st.tuples(printable, printable, printable), min_size=1))
def test_output_expects_itself_and_any_part_replaced_by_an_ellipsis(lines: list[tuple[str, str, str]]) -> None:
    """Whatever signs a line holds, they stand for themselves: none of them is a pattern."""
    actual = "\n".join(map("".join, lines))
    assert first_missing(actual.splitlines(), actual) is None
    assert first_missing([f"{before}…{after}" for before, _, after in lines], actual) is None
    assert first_missing([f"{before} {middle}" for before, middle, _ in lines], actual) is not None


def test_file_blocks_are_there_for_what_follows_in_a_folder_of_the_page_alone(check: Check, tmp_path: Path) -> None:
    page = (
        "```jsonl file=deep/rows.jsonl\n{}\n```\n"
        + console("$ cat deep/rows.jsonl", "{}")
        + "```toml file=deep/rows.jsonl\na = 1\n```\n"
        + "```python\nfrom pathlib import Path\n\nassert Path('deep/rows.jsonl').read_text() == 'a = 1\\n'\n```\n"
    )
    code, out = check(page)
    assert code == 0, out
    assert "2 examples ran" in out
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]
    assert check(console("$ test -e deep"))[0] == 1  # the next run begins with an empty folder


def test_python_blocks_run_with_this_python_and_their_tracebacks_name_the_pages_line(check: Check) -> None:
    code, out = check(f"```python\nimport sys\n\nassert sys.executable == {sys.executable!r}\n```\n")
    assert code == 0, out
    code, out = check("text\n\n```python\nfine = 1\nraise SystemError('broken')\n```\n")
    assert code == 1
    assert "line 5" in out
    assert "SystemError: broken" in out


def test_commands_see_the_same_environment_for_every_reader(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRUING_LEDGER", "TRUING_BENCHMARKS", "FORCE_COLOR"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("COLUMNS", "33")
    shown = console(
        '$ echo "${TRUING_LEDGER-none} ${TRUING_BENCHMARKS-none} ${FORCE_COLOR-none} $COLUMNS"',
        "none none none 120",
        "$ command -v python",
        str(Path(sys.executable).with_name("python")),
    )
    code, out = check(shown)
    assert code == 0, out


def test_a_long_command_may_go_on_in_the_next_line(check: Check) -> None:
    assert check(console("$ echo one \\", ">   two", "one two"))[0] == 0


def test_no_run_needs_a_reason_and_is_counted_with_it(check: Check) -> None:
    code, out = check(console("$ exit 9", tags='no-run="needs the network"'))
    assert code == 0
    assert "0 examples ran; 1 not run (needs the network)" in out
    for tags in ("no-run", "no-run=", 'no-run=" "'):
        code, out = check(console("$ true", tags=tags))
        assert code == 1
        assert "page.md:1: no-run needs a reason" in out


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (console("$ true", tags="exti=2"), "page.md:4: unknown tag 'exti'"),
        (console("$ true", tags="exit=two"), "page.md:4: exit=two is not an exit code"),
        ("```toml file=../out.toml\n```\n", "page.md:4: file=../out.toml: name a file inside"),
        ("```toml file=/out.toml\n```\n", "page.md:4: file=/out.toml: name a file inside"),
        ("text\n```console\n$ true\n", "page.md:5: the block is not closed"),
        ('```console no-run="never closed\n```\n', "page.md:4: the tags cannot be read"),
    ],
)
def test_a_page_that_cannot_be_read_fails_before_anything_runs(check: Check, page: str, message: str) -> None:
    code, out = check(console("$ true") + page)
    assert code == 1
    assert message in out
    assert "page.md:2: true" not in out


def test_output_without_a_command_is_refused(check: Check) -> None:
    code, out = check(console("output first", "$ true"))
    assert code == 1
    assert "page.md:2: a console block begins with" in out


def test_other_blocks_and_fences_inside_longer_fences_are_no_examples(check: Check) -> None:
    code, out = check("```text\n$ exit 9\n```\n````markdown\n```console\n$ exit 9\n```\n````\n")
    assert code == 0
    assert "0 examples ran" in out


def test_a_missing_page_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent.md")]) == 1
    assert "absent.md: cannot be read (No such file or directory)" in capsys.readouterr().out
