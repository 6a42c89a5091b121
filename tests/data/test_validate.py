"""Every bad row is listed with its line and reason, every good one kept, and nothing is guessed, dropped or cut."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.conftest import assistant, comparison, comparisons, lines, user
from truing.core.errors import InputError
from truing.core.records import Comparison, Message
from truing.data import native
from truing.data.rows import BadRow, RowError
from truing.data.validate import check, messages, read_comparisons

GOOD = '{"prompt": "q", "chosen": "yes", "rejected": "no"}'


def row(**changes: object) -> str:
    return json.dumps({"prompt": "q", "chosen": "yes", "rejected": "no", **changes})


def read(path: Path) -> list[Comparison | BadRow]:
    return list(read_comparisons(path, native.parse))


def turns(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": "x"} for role in roles]


BAD: list[tuple[str | bytes, str]] = [
    ("{", "not valid JSON (Expecting property name enclosed in double quotes at column 2)"),
    ("{'a': 1}", "not valid JSON"),
    (GOOD + ",", "not valid JSON (Extra data at column 51)"),
    ("[1]", "expected a JSON object, found list"),
    ('"text"', "expected a JSON object, found str"),
    ("null", "expected a JSON object, found NoneType"),
    (b'{"a": "\xff"}', "not valid UTF-8 at byte 8 of the line"),
    (GOOD.encode("utf-16"), "not valid UTF-8 at byte 1 of the line"),
    ("[" * 100_000, "JSON that cannot be read (maximum recursion depth exceeded"),
    ('{"id": ' + "1" * 5000 + "}", "JSON that cannot be read (Exceeds the limit (4300 digits)"),
    ('{"prompt": "q", "chosen": "a", "chosen": "b", "rejected": "no"}', "the key 'chosen' stands twice in one object"),
    ("", "the line is blank"),
    (" \t", "the line is blank"),
    ("{}", "the key 'chosen' is missing"),
    (row(chosen=""), "'chosen' is empty"),
    (row(rejected=" \n"), "'rejected' is empty"),
    (row(prompt=""), "'prompt' is empty"),
    (row(chosen="a\0"), "'chosen' holds a NUL byte"),
    (row(prompt=[{"role": "system", "content": "\0"}, *turns("user")]), "'prompt' holds a NUL byte"),
    (row(topic="a\0"), "'topic' holds a NUL byte"),
    (row(rejected="\ud83d"), "'rejected' holds half a surrogate pair (broken Unicode)"),
    (row(prompt="\udc00"), "'prompt' holds half a surrogate pair (broken Unicode)"),
    (row(id="\udc00"), "'id' holds half a surrogate pair (broken Unicode)"),
    (row(annotator="\udc00"), "'annotator' holds half a surrogate pair (broken Unicode)"),
    (row(chosen="no "), "'chosen' and 'rejected' are the same text; mark it as a tie or leave it out"),
    (row(prompt=turns("assistant")), "turn 1 of the prompt is by 'assistant', expected 'user'"),
    (row(prompt=turns("system", "assistant")), "turn 1 of the prompt is by 'assistant', expected 'user'"),
    (row(prompt=turns("user", "user")), "turn 2 of the prompt is by 'user', expected 'assistant'"),
    (row(prompt=turns("user", "system", "user")), "turn 2 of the prompt is by 'system', expected 'assistant'"),
    (row(prompt=turns("user", "assistant")), "the prompt must end with a user turn"),
    (row(prompt=turns("system")), "the prompt must end with a user turn"),
    (row(prompt=turns("narrator")), "'prompt', message 1: the role is 'narrator'; use one of system, user, assistant"),
    (row(wieght=1), "'wieght': Extra inputs are not permitted; known keys are id, prompt"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD, ids=[reason[:40] for _, reason in BAD])
def test_a_bad_row_is_listed_with_its_line_and_its_neighbours_are_kept(
    tmp_path: Path, bad: str | bytes, reason: str
) -> None:
    first, second, third = read(lines(tmp_path, GOOD, bad, GOOD))
    assert (first, third) == (comparison(id="rows-1"), comparison(id="rows-3"))
    assert isinstance(second, BadRow)
    assert second.line == 2
    assert second.reason.startswith(reason)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.integers(-3, len(BAD) - 1), max_size=12))
def test_every_line_is_accounted_for_in_order(tmp_path: Path, kinds: list[int]) -> None:
    """Of good (below 0) and bad rows in any order, each line gives one item, but for blank ones at the end."""
    rows = [BAD[kind][0] if kind >= 0 else GOOD for kind in kinds]
    while rows and not rows[-1].strip():
        del kinds[-1], rows[-1]
    items = read(lines(tmp_path, *rows, "", " "))
    assert len(items) == len(rows)
    for line, (kind, item) in enumerate(zip(kinds, items, strict=True), start=1):
        if kind < 0:
            assert item == comparison(id=f"rows-{line}")
        else:
            assert isinstance(item, BadRow)
            assert item.line == line
            assert item.reason.startswith(BAD[kind][1])


def test_an_id_may_stand_once_and_the_first_keeps_it(tmp_path: Path) -> None:
    items = read(lines(tmp_path, row(id="a"), row(id="b"), row(id="a"), row(id="rows-5"), row()))
    assert [item for item in items if isinstance(item, BadRow)] == [
        BadRow(3, "the id 'a' stands in line 1 already; ids must be unique"),
        BadRow(5, "the id 'rows-5' stands in line 4 already; ids must be unique"),
    ]


@pytest.mark.parametrize("mark", [{"tie": True}, {"both_bad": True}])
def test_equal_answers_are_fine_where_people_said_so(tmp_path: Path, mark: dict[str, bool]) -> None:
    (item,) = read(lines(tmp_path, row(chosen="no", **mark)))
    assert isinstance(item, Comparison)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("blank_at_the_end", [0, 1, 3])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_blank_ends_and_a_byte_order_mark_are_no_part_of_the_rows(
    tmp_path: Path, end: bytes, blank_at_the_end: int, mark: bytes
) -> None:
    path = lines(tmp_path, mark + GOOD.encode(), GOOD, *[""] * blank_at_the_end, end=end)
    assert read(path) == [comparison(id="rows-1"), comparison(id="rows-2")]
    path.write_bytes(path.read_bytes().rstrip())
    assert read(path) == [comparison(id="rows-1"), comparison(id="rows-2")]


def test_a_byte_order_mark_further_down_is_a_bad_row(tmp_path: Path) -> None:
    _, item = read(lines(tmp_path, GOOD, b"\xef\xbb\xbf" + GOOD.encode()))
    assert isinstance(item, BadRow)


def test_carriage_returns_inside_a_text_stay(tmp_path: Path) -> None:
    (item,) = read(lines(tmp_path, row(chosen="a\r\nb\r"), end=b"\r\n"))
    assert item == comparison(id="rows-1", chosen="a\r\nb\r")


def test_what_cannot_be_opened_is_an_input_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.jsonl: cannot be read \(No such file"):
        read(tmp_path / "absent.jsonl")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read(tmp_path)


@settings(max_examples=40, deadline=None)
@given(row=comparisons)
def test_check_changes_nothing(row: Comparison) -> None:
    assert check(row) is row


@pytest.mark.parametrize(
    ("prompt", "fine"),
    [
        ((user("q"),), True),
        ((Message(role="system", content="s"), user("q")), True),
        ((user("q"), assistant("a"), user("r")), True),
        ((user(""), assistant(""), user("r")), True),
        ((user("q"), assistant("a")), False),
        ((assistant("a"), user("q")), False),
        ((user("q"), assistant("a"), user(" ")), False),
    ],
)
def test_turns_alternate_and_the_last_is_a_users(prompt: tuple[Message, ...], fine: bool) -> None:
    if fine:
        check(comparison(prompt=prompt))
    else:
        with pytest.raises(RowError):
            check(comparison(prompt=prompt))


def test_messages_are_read_as_they_are() -> None:
    assert messages([{"role": "user", "content": " x "}], "prompt") == (user(" x "),)
