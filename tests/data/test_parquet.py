"""Parquet: nulls are missing keys, and a text that is not UTF-8 costs its own row only."""

import json
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from tests.data.conftest import comparison  # noqa: E402
from truing.core.errors import InputError  # noqa: E402
from truing.data import formats, parquet  # noqa: E402


def test_a_null_is_a_key_that_is_not_there(tmp_path: Path) -> None:
    table = pa.table({"prompt": ["q", "q"], "chosen": ["yes", None], "rejected": ["no", "no"], "group": [None, "g"]})
    pq.write_table(table, tmp_path / "rows.parquet")
    good, (bad,) = formats.load(tmp_path / "rows.parquet")
    assert good == [comparison(id="rows-1")]
    assert (bad.unit, bad.line, bad.reason) == ("row", 2, "the key 'chosen' is missing")
    assert json.loads(bad.raw) == {"prompt": "q", "rejected": "no", "group": "g"}


def test_conversations_are_read_as_lists_of_messages(tmp_path: Path) -> None:
    user, yes, no = (
        {"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "yes"), ("assistant", "no"))
    )
    pq.write_table(pa.table({"chosen": [[user, yes]], "rejected": [[user, no]]}), tmp_path / "rows.parquet")
    assert formats.load(tmp_path / "rows.parquet") == ([comparison(id="rows-1")], [])


def test_a_text_that_is_not_utf8_is_one_bad_row_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    chosen = pa.array([b"yes", b"y\xffs", b"yes"], pa.binary()).view(pa.string())
    table = pa.table({"prompt": ["q"] * 3, "chosen": chosen, "rejected": ["no"] * 3})
    pq.write_table(table, tmp_path / "rows.parquet")
    good, (bad,) = formats.load(tmp_path / "rows.parquet")
    assert [row.id for row in good] == ["rows-1", "rows-3"]
    assert bad.reason.startswith("not valid UTF-8")
    assert json.loads(bad.raw)["chosen"].encode("utf-8", "surrogateescape") == b"y\xffs"


def test_what_is_no_parquet_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        formats.load(tmp_path / "rows.parquet")


def test_without_pyarrow_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"pip install 'truing\[parquet\]'"):
        next(parquet.read(tmp_path / "rows.parquet"))
