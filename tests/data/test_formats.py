"""Which form a file has is told by its rows; a file that says nothing is refused with what to do."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.data.conftest import comparison, comparisons, lines
from truing.core.errors import InputError
from truing.core.records import Comparison
from truing.data import native
from truing.data.formats import FORMATS, detect, load
from truing.data.rows import AS_IT_IS, RowError


def written(name: str, row: Comparison) -> str:
    """A comparison as one line of a format."""
    write = FORMATS[name].write
    assert write is not None
    return "\n".join(json.dumps(one) for one in write(row))


NATIVE, TRL = (written(name, comparison()) for name in ("native", "trl"))


@pytest.mark.parametrize("name", ["native", "trl", "hh"])
def test_a_format_knows_its_own_rows_and_no_others(tmp_path: Path, name: str) -> None:
    path = lines(tmp_path, written(name, comparison()))
    assert detect(path) == name
    rows, bad = load(path)
    assert (len(rows), bad) == (1, [])


@pytest.mark.parametrize("before", ["{", "[]", "null", "", '{"question": "q"}', b"\xff", b"\xef\xbb\xbf{}"])
@pytest.mark.parametrize(("row", "name"), [(NATIVE, "native"), (TRL, "trl")])
def test_the_first_row_that_is_recognised_decides(tmp_path: Path, before: str | bytes, row: str, name: str) -> None:
    path = lines(tmp_path, before, row)
    assert detect(path) == name
    good, bad = load(path)
    assert [len(good), [item.line for item in bad]] == [1, [1]]


def test_a_byte_order_mark_does_not_hide_the_format(tmp_path: Path) -> None:
    assert detect(lines(tmp_path, b"\xef\xbb\xbf" + NATIVE.encode())) == "native"


def test_rows_of_another_format_are_bad_rows(tmp_path: Path) -> None:
    good, bad = load(lines(tmp_path, NATIVE, TRL))
    assert (len(good), [item.line for item in bad]) == (1, [2])
    good, bad = load(lines(tmp_path, NATIVE, TRL), "trl")
    assert (len(good), [item.line for item in bad]) == (1, [1])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(comparisons, min_size=1, max_size=6, unique_by=lambda row: row.id))
def test_a_whole_file_round_trips(tmp_path: Path, rows: list[Comparison]) -> None:
    assert load(lines(tmp_path, *map(native.line, rows))) == (rows, [])


@pytest.mark.parametrize("format_name", [None, "native"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n"])
def test_an_empty_file_is_called_empty(tmp_path: Path, content: bytes, format_name: str | None) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"rows\.jsonl: the file is empty"):
        load(path, format_name)


def test_a_file_that_no_format_knows_is_refused_with_its_first_row_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"known format \(line 1: keys chosen, text\); name it with --format native"):
        detect(lines(tmp_path, '{"chosen": 1, "text": "x"}'))
    with pytest.raises(InputError, match=r"\(line 1: not valid JSON .*\); name it with --format native\|trl"):
        detect(lines(tmp_path, "chosen,rejected", "yes,no"))


def test_an_unknown_format_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'csv' is not known; use one of native, trl"):
        load(lines(tmp_path, NATIVE), "csv")


def test_a_missing_file_and_a_folder_are_input_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        for format_name in (None, "trl"):
            with pytest.raises(InputError, match="cannot be read"):
                load(path, format_name)


keys = st.sampled_from(
    "prompt chosen rejected completion label completions scores fields responses data annotations result type value "  # noqa: SIM905
    "role content id text1 ranker items user_id".split()
)
leaves = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["q", "", "pairwise", "ranker", "rating", "user"])
)
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4))


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60, deadline=None)
@given(row=st.dictionaries(keys, anything, max_size=5))
def test_any_row_gives_comparisons_or_a_reason_and_never_a_defect(name: str, row: dict[str, Any]) -> None:
    FORMATS[name].recognises(row)
    with contextlib.suppress(RowError, ValidationError):
        assert FORMATS[name].parse(row, "1", AS_IT_IS)
