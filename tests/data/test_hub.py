"""Sets of the hub, through the real client, against a small server on this machine that pretends to be the hub."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from truing.core.errors import InputError
from truing.data import formats, hub

COMMIT = "a" * 40
ROW = b'{"prompt": "q", "chosen": "yes", "rejected": "no"}\n'
FILES = {
    "me/one": {"README.md": b"", "data/train-00000-of-00002.jsonl": ROW, "data/train-00001-of-00002.jsonl": ROW},
    "me/several": {"train.jsonl": ROW, "test.jsonl": ROW},
    "me/none": {"README.md": b"no rows", "pickle.bin": b""},
}


class _PretendHub(BaseHTTPRequestHandler):
    """Answers what the client asks of a data set: its list of files, and each file."""

    def do_GET(self) -> None:
        parts = self.path.strip("/").split("/")
        if parts[:2] == ["api", "datasets"]:
            files = FILES.get("/".join(parts[2:4]))
            listed = {
                "id": "/".join(parts[2:4]),
                "sha": COMMIT,
                "siblings": [{"rfilename": one} for one in files or ()],
            }
            self._answer(json.dumps(listed).encode() if files else None, "application/json")
        else:
            self._answer(FILES.get("/".join(parts[1:3]), {}).get("/".join(parts[5:])), "text/plain")

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, body: bytes | None, kind: str) -> None:
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body or b"")))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{abs(hash(self.path)):x}"')
        if body is None:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _PretendHub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_all_shards_of_the_only_set_are_read_in_their_order(endpoint: str) -> None:
    paths = hub.fetch("hf:me/one", endpoint)
    assert [path.name for path in paths] == ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"]
    found = list(formats.stream(paths))
    assert [getattr(row, "id", row) for row in found] == ["train-00000-of-00002-1", "train-00001-of-00002-1"]


def test_of_several_sets_one_must_be_named(endpoint: str) -> None:
    with pytest.raises(InputError, match=r"holds several sets; name one of test\.jsonl, train\.jsonl"):
        hub.fetch("hf:me/several", endpoint)
    assert [path.read_bytes() for path in hub.fetch("hf:me/several/tr*", endpoint)] == [ROW]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("hf:me/none", "no such file of comparisons; the repository holds README.md"),
        ("hf:me/one/test*", "no such file of comparisons"),
        ("hf:me/absent", "could not be fetched"),
        ("hf:me", "write a data set of the hub as hf:OWNER/NAME"),
    ],
)
def test_what_cannot_be_had_is_an_input_error(endpoint: str, source: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        hub.fetch(source, endpoint)
