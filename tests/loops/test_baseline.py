"""A stored baseline reads back equal, and a file that is not whole is refused by its line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from truing.core.errors import InputError
from truing.core.records import ItemResult
from truing.ledger.artifacts import Artifact
from truing.loops.baseline import as_line, read_baseline, write_baseline

ITEMS = [
    ItemResult(task="refusal", item=f"{n}", cluster=f"{n}", value=None if n == 2 else n / 4, answer='a\u2028b\n"c"')
    for n in range(4)
]
MADE = Artifact(
    kind="evaluation", verb="benchmark", verb_version=1, name="base", config={"model": "tiny"}, parents=(), seed=0,
    files=(), metrics={}, key=None, id="a" * 64, created=datetime(2026, 5, 4, 3, 2, tzinfo=UTC), code_version="0.1",
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "base.jsonl"
    write_baseline(made, MADE, ITEMS)
    return made


def test_what_is_written_reads_back_equal_and_says_what_it_is(path: Path) -> None:
    stored = read_baseline(path)
    assert list(stored.items) == ITEMS
    assert as_line(stored.origin) == "the evaluation base of tiny, 2026-05-04 03:02 UTC"


def spoilt(path: Path, line: int, text: str | None) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[line : line + 1] = [] if text is None else [text]
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (0, "{}", "line 1: says not which evaluation this is"),
        (0, None, "line 1: says not which evaluation this is"),
        (2, "{", "line 3: not an item"),
        (2, '{"task": "a", "item": "b", "cluster": "c"}', "line 3: not an item (value: Field required)"),
        (3, None, "4 items were exported, and 3 are there or were changed"),
        (1, ITEMS[0].model_copy(update={"value": 1.0}).model_dump_json(), "and 4 are there or were changed"),
    ],
)
def test_a_file_that_was_cut_or_changed_is_refused(path: Path, line: int, text: str | None, message: str) -> None:
    spoilt(path, line, text)
    with pytest.raises(InputError) as raised:
        read_baseline(path)
    assert message in str(raised.value)
    assert "--export" in str(raised.value)


def test_files_that_cannot_be_read_or_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.jsonl: there is no such file"):
        read_baseline(tmp_path / "absent.jsonl")
    with pytest.raises(InputError, match="cannot be written"):
        write_baseline(tmp_path / "no" / "base.jsonl", MADE, ITEMS)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="line 1"):
        read_baseline(tmp_path / "empty.jsonl")
