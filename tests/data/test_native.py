"""The native form loses nothing: what is written reads back equal. Probes are held to the same rules."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.data.conftest import comparison, comparisons, lines, user
from truing.core.errors import InputError
from truing.core.records import Comparison, Probe
from truing.data import formats, native
from truing.data.rows import BadRow
from truing.data.validate import read_comparisons

PROBE = {"id": "1", "group": "harmful", "topic": "t", "prompt": "q"}


def probe(**changes: object) -> str:
    return json.dumps({**PROBE, **changes})


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=comparisons)
def test_import_of_export_is_the_identity(tmp_path: Path, row: Comparison) -> None:
    path = lines(tmp_path, native.line(row))
    (again,) = read_comparisons(path, native.parse)
    assert again == row
    assert isinstance(again, Comparison)
    assert again.sha256 == row.sha256
    assert formats.detect(path) == native.NAME


def test_a_row_takes_one_line_whatever_it_holds() -> None:
    assert len(native.line(comparison(chosen="a\nb\r\u2028\u2029\x85\x0b\x1c", topic="\n")).split("\n")) == 1


def test_unset_keys_are_not_written_and_a_prompt_of_one_turn_may_be_a_string(tmp_path: Path) -> None:
    assert set(native.write(comparison())[0]) == {"id", "prompt", "chosen", "rejected"}
    path = lines(tmp_path, '{"prompt": "q", "chosen": "yes", "rejected": "no"}')
    assert list(read_comparisons(path, native.parse)) == [comparison(id="rows-1")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chosen": None}, "'chosen' must be a string, found nothing"),
        ({"rejected": 5}, "'rejected' must be a string, found int '5'"),
        ({"prompt": 5}, "'prompt' must be a non-empty list of messages, found int '5'"),
        ({"prompt": []}, "'prompt' must be a non-empty list of messages, found list '[]'"),
        ({"chossen": "x"}, "'chossen': Extra inputs are not permitted; known keys are id, prompt, chosen, rejected"),
        ({"strength": 4}, "'strength': Input should be 1, 2 or 3"),
        ({"chosen_side": "middle"}, "'chosen_side': Input should be 'left' or 'right'"),
        ({"time": "yesterday"}, "'time': Input should be a valid datetime"),
        ({"id": 5}, "'id': Input should be a valid string"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    row = {"prompt": "q", "chosen": "yes", "rejected": "no", **change}
    (bad,) = read_comparisons(lines(tmp_path, json.dumps(row)), native.parse)
    assert isinstance(bad, BadRow)
    assert bad.reason.startswith(reason)


@pytest.mark.parametrize("key", ["prompt", "chosen", "rejected"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    row = {name: "x" for name in ("prompt", "chosen", "rejected") if name != key}
    assert list(read_comparisons(lines(tmp_path, json.dumps(row)), native.parse)) == [
        BadRow(1, f"the key {key!r} is missing")
    ]


def test_probes_are_read_with_their_answers_and_twins(tmp_path: Path) -> None:
    path = lines(tmp_path, probe(), probe(id="2", pair="p", chosen="yes\u2028", rejected="no"), "")
    assert native.read_probes(path) == [
        Probe(id="1", group="harmful", topic="t", prompt=(user("q"),)),
        Probe(id="2", group="harmful", topic="t", prompt=(user("q"),), pair="p", chosen="yes\u2028", rejected="no"),
    ]


def test_a_line_separator_inside_a_text_is_not_the_end_of_the_line(tmp_path: Path) -> None:
    """JSON allows U+2028 and U+0085 as they are, and Python's `splitlines` would cut there."""
    row = Probe(id="1", group="g", topic="t", prompt=(user("a\u2028b\x85c"),))
    assert native.read_probes(lines(tmp_path, row.model_dump_json())) == [row]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not valid JSON"),
        ("5", "expected a JSON object, found int"),
        ('{"id": "2"}', "the key 'prompt' is missing"),
        ('{"id": "2", "group": "g", "prompt": "q"}', "'topic': Field required"),
        (probe(id="2", goal="x"), "'goal': Extra inputs are not permitted; known keys are id, group"),
        (probe(id="2", prompt=5), "'prompt' must be a non-empty list"),
        (probe(id="2", prompt=" "), "'prompt' is empty"),
        (probe(id="2", prompt=[{"role": "assistant", "content": "a"}]), "turn 1 of the prompt is by 'assistant'"),
        (probe(id="2", chosen="\ud800"), "'chosen' holds half a surrogate pair"),
        (probe(), "the id '1' stands in line 1 already"),
        (b'{"id": "\xff"}', "not valid UTF-8 at byte 9"),
    ],
)
def test_the_first_bad_probe_is_named_with_its_line(tmp_path: Path, row: str | bytes, reason: str) -> None:
    with pytest.raises(InputError) as raised:
        native.read_probes(lines(tmp_path, probe(), row, probe(id="3")))
    assert f"rows.jsonl, line 2: not a probe: {reason}" in str(raised.value)


def test_probes_that_cannot_be_read_are_an_input_error(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            native.read_probes(path)
