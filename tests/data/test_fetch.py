"""Fetching sets over a socket: whole, checked, resumed; and nothing half where the other side fails."""

import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from truing.core.digest import digest_file
from truing.core.errors import InputError, RunError
from truing.data import sets
from truing.data.fetch import UNFINISHED, fetch
from truing.data.sets import SETS, PinnedFile, PublicSet, git_blob, revision_of

REVISION = "c" * 40
ONE = bytes(range(256)) * 3000
TWO = b"a row\n"


def blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


PIN = PublicSet(
    "me/set",
    REVISION,
    "MIT",
    (
        PinnedFile("mine/one.bin", "data/one.bin", sha256=hashlib.sha256(ONE).hexdigest()),
        PinnedFile("mine/two.jsonl", "data/two.jsonl", blob=blob(TWO)),
    ),
)


class Home(BaseHTTPRequestHandler):
    """Serves files below /me/set/REVISION/data with ranges. `faults` are taken one a request: a status to answer, or
    so many bytes after which the connection is cut; `ranges` False ignores ranges."""

    files: dict[str, bytes]
    faults: list[int | str]
    asked: list[tuple[str, str | None]]
    ranges: bool
    site: str

    def do_GET(self) -> None:
        self.asked.append((self.path.rpartition("/")[2], self.headers["Range"]))
        fault = self.faults.pop(0) if self.faults else None
        content = self.files.get(self.path.removeprefix(f"/me/set/{REVISION}/data/"))
        if isinstance(fault, int) or content is None:
            self.send_error(fault if isinstance(fault, int) else 404)
            return
        found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "") if self.ranges else None
        begin = int(found[1]) if found else 0
        if found and begin >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        self.wfile.write(content[begin:][: int(fault) if fault else None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def home() -> Iterator[type[Home]]:
    attributes = {"files": {"one.bin": ONE, "two.jsonl": TWO}, "faults": [], "asked": [], "ranges": True}
    fresh = type("Fresh", (Home,), attributes)
    server = ThreadingHTTPServer(("127.0.0.1", 0), fresh)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    fresh.site = f"http://127.0.0.1:{server.server_port}"
    yield fresh
    server.shutdown()
    server.server_close()


def fetched(folder: Path, home: type[Home]) -> None:
    for progress in fetch(PIN, folder, site=home.site, pause=0.0):
        assert 0 < progress.done <= progress.total


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WHOLE = {"mine/one.bin": ONE, "mine/two.jsonl": TWO}


def test_a_set_comes_whole_and_is_not_fetched_twice(tmp_path: Path, home: type[Home]) -> None:
    fetched(tmp_path / "sets", home)
    assert everything(tmp_path / "sets") == WHOLE
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["mine"]
    fetched(tmp_path / "sets", home)
    assert home.asked == [("one.bin", None), ("two.jsonl", None)]
    (tmp_path / "sets/mine/one.bin").unlink()
    fetched(tmp_path / "sets", home)
    assert home.asked[2:] == [("one.bin", None)]


def test_a_cut_connection_goes_on_where_it_was_within_a_run(tmp_path: Path, home: type[Home]) -> None:
    home.faults[:] = ["70000", "30000"]
    fetched(tmp_path, home)
    assert everything(tmp_path) == WHOLE
    assert [range_ for name, range_ in home.asked if name == "one.bin"] == [None, "bytes=70000-", "bytes=100000-"]


def test_and_in_the_next_run_where_every_attempt_was_cut(tmp_path: Path, home: type[Home]) -> None:
    home.faults[:] = ["1000"] * 4
    with pytest.raises(
        RunError, match=r"one.bin could not be fetched \(.*\); what has come is kept: check the network"
    ):
        fetched(tmp_path, home)
    (kept,) = everything(tmp_path).items()
    assert kept == (f"{UNFINISHED}/{PIN.files[0].sha256}", ONE[:4000])
    fetched(tmp_path, home)
    assert ("one.bin", "bytes=4000-") in home.asked
    assert everything(tmp_path) == WHOLE


def test_a_server_without_ranges_begins_again(tmp_path: Path, home: type[Home]) -> None:
    home.ranges = False
    home.faults[:] = ["70000"]
    fetched(tmp_path, home)
    assert everything(tmp_path) == WHOLE


def test_what_was_whole_but_not_in_its_place_is_not_fetched_again(tmp_path: Path, home: type[Home]) -> None:
    (tmp_path / UNFINISHED).mkdir()
    (tmp_path / UNFINISHED / PIN.files[0].sha256).write_bytes(ONE)
    fetched(tmp_path, home)
    assert everything(tmp_path) == WHOLE


@pytest.mark.parametrize("name", ["one.bin", "two.jsonl"])
def test_another_content_is_thrown_away(tmp_path: Path, home: type[Home], name: str) -> None:
    home.files = {**home.files, name: home.files[name][:-1] + b"?"}
    with pytest.raises(
        RunError, match=f"{name} is not the file that truing knows by that revision; it was thrown away"
    ):
        fetched(tmp_path, home)
    assert everything(tmp_path) == {key: value for key, value in WHOLE.items() if name == "two.jsonl" and "one" in key}
    assert not (tmp_path / UNFINISHED).exists()


def test_a_remainder_that_was_damaged_is_thrown_away_and_the_next_run_mends_it(
    tmp_path: Path, home: type[Home]
) -> None:
    (tmp_path / UNFINISHED).mkdir()
    (tmp_path / UNFINISHED / PIN.files[0].sha256).write_bytes(b"damaged")
    with pytest.raises(RunError, match="thrown away"):
        fetched(tmp_path, home)
    fetched(tmp_path, home)
    assert everything(tmp_path) == WHOLE


def test_a_file_that_is_not_there_is_told_at_once_and_nothing_is_left(tmp_path: Path, home: type[Home]) -> None:
    home.files = {}
    with pytest.raises(RunError, match=r"the server answers 404 \(Not Found\); .* put it where mine/one.bin belongs"):
        fetched(tmp_path, home)
    assert len(home.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_again_and_then_given_up(tmp_path: Path, home: type[Home]) -> None:
    home.faults[:] = [503, 429, 500]
    fetched(tmp_path / "a", home)
    assert everything(tmp_path / "a") == WHOLE
    home.faults[:] = [503] * 4
    with pytest.raises(RunError, match=r"the server answers 503.*nothing was changed: check the network"):
        fetched(tmp_path / "b", home)
    assert everything(tmp_path / "b") == {}


def test_without_a_network_it_is_one_sentence_and_nothing_is_left(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        site = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RunError, match=r"could not be fetched .*nothing was changed: check the network") as caught:
            list(fetch(PIN, tmp_path, site=site, pause=0.0))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_ones_own_is_never_overwritten_and_nothing_is_fetched(tmp_path: Path, home: type[Home]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/two.jsonl").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"two.jsonl is there, and is not the file of github.com/me/set@c+; move it"):
        fetched(tmp_path, home)
    assert home.asked == []
    assert everything(tmp_path) == {"mine/two.jsonl": b"mine"}


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, home: type[Home]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Not a directory; make room or name another folder"):
        fetched(tmp_path / "file", home)


def test_gits_name_of_a_content_is_gits(tmp_path: Path) -> None:
    """The empty blob's name is known to everybody who ever looked into .git/objects."""
    (tmp_path / "empty").write_bytes(b"")
    assert git_blob(tmp_path / "empty") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_pins_are_commits_and_hashes_and_no_file_is_claimed_by_two_contents() -> None:
    contents: dict[str, str] = {}
    for one in SETS.values():
        assert re.fullmatch(r"[0-9a-f]{40}", one.revision)
        for file in one.files:
            assert bool(file.sha256) != bool(file.blob)
            assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", file.sha256 or file.blob)
            assert contents.setdefault(file.name, file.sha256) == file.sha256


def test_the_pins_are_the_hashes_of_the_real_files_and_name_their_revision(shared_data: Path) -> None:
    seen = 0
    for name, one in SETS.items():
        here = [file for file in one.files if (shared_data / file.name).is_file()]
        for file in here:
            assert file.is_in(shared_data / file.name), file.name
        seen += len(here)
        assert revision_of(name, shared_data, [shared_data / file.name for file in here]) == one.home
    assert seen == 22


def test_a_changed_file_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sets.SETS, "mine", PIN)
    for name, content in WHOLE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in WHOLE]
    assert revision_of("mine", tmp_path, paths) == f"github.com/me/set@{REVISION}"
    assert revision_of("yours", tmp_path, paths) == ""
    (tmp_path / "mine/own.jsonl").write_bytes(TWO)
    assert revision_of("mine", tmp_path, [*paths, tmp_path / "mine/own.jsonl"]) == ""
    paths[1].write_bytes(TWO + TWO)
    assert digest_file(paths[1]) != digest_file(paths[0])
    assert revision_of("mine", tmp_path, paths) == ""
