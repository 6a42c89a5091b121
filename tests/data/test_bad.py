"""A bad row is kept whole, whatever its bytes and length, and no other file is written over."""

import base64
import io
import json
from pathlib import Path

import pytest

from truing.core.errors import InputError
from truing.data.bad import BadFile
from truing.data.rows import BadRow


def test_texts_bytes_and_files_come_back_as_they_were(tmp_path: Path) -> None:
    long = bytes(range(256)) * 5000
    kept = BadFile(tmp_path / "rows.bad.jsonl")
    for number, raw in enumerate((b'{"a": 1', b"\xff", io.BytesIO(long)), start=1):
        kept.add(BadRow(number, 'why "so"', file=Path("rows.jsonl"), raw=raw))
    kept.close()
    first, second, third = map(json.loads, (tmp_path / "rows.bad.jsonl").read_text().splitlines())
    assert first == {"file": "rows.jsonl", "line": 1, "reason": 'why "so"', "text": '{"a": 1'}
    assert base64.b64decode(second["base64"]) == b"\xff"
    assert base64.b64decode(third["base64"]) == long


def test_without_a_bad_row_there_is_no_file_and_an_old_one_goes(tmp_path: Path) -> None:
    path = tmp_path / "rows.bad.jsonl"
    for bad in ([BadRow(1, "why")], []):
        kept = BadFile(path)
        for one in bad:
            kept.add(one)
        kept.close()
        assert path.exists() == bool(bad)


def test_a_file_that_holds_something_else_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.bad.jsonl"
    path.write_text('{"prompt": "mine"}\n')
    with pytest.raises(InputError, match="holds no bad rows; move it away"):
        BadFile(path)


def test_a_run_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    kept = BadFile(tmp_path / "rows.bad.jsonl")
    kept.add(BadRow(1, "why"))
    kept.discard()
    assert list(tmp_path.iterdir()) == []
