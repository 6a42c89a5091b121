"""What an HTTP status means, and how long a server asks to wait."""

import email.utils
import time

import pytest

from truing.providers.wire import Reply, refused, retry_after


@pytest.mark.parametrize(
    ("status", "again", "fatal"),
    [
        (302, False, True),
        (400, False, False),
        (401, False, True),
        (403, False, True),
        (404, False, True),
        (408, True, False),
        (413, False, False),
        (422, False, False),
        (429, True, False),
        (500, True, False),
        (503, True, False),
        (529, True, False),
    ],
)
def test_only_what_may_pass_is_asked_again(status: int, again: bool, fatal: bool) -> None:
    failed = refused(status, "told", {})
    assert (failed.again, failed.fatal, failed.billed, failed.wait) == (again, fatal, False, None)
    assert f"status {status}: told" in str(failed)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sat, 01 Jan 2000 00:00:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read_in_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_date_to_wait_for_is_a_time_from_now() -> None:
    found = retry_after({"retry-after": email.utils.formatdate(time.time() + 100, usegmt=True)})
    assert found is not None
    assert 90 < found <= 100


def test_a_wait_in_the_body_counts_where_no_header_says_one() -> None:
    assert refused(429, "", {}, wait=3.0).wait == 3.0
    assert refused(429, "", {"retry-after": "1"}, wait=3.0).wait == 1.0


def test_half_a_usage_is_no_usage() -> None:
    reply = Reply("a", True, "stop", "", None, prompt_tokens=3, output_tokens=None)
    assert reply.usage is None
