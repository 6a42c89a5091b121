"""Fetching a public set from its home: whole and checked, or not at all.

A file comes into a folder for what is not finished, is held against its pin, and takes its place in one step. Where the
connection is cut, what has come stays there, and the next attempt asks for the rest (RFC 9110, section 14). What does
not match its pin is thrown away. A file of yours is never overwritten.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from truing.core.errors import InputError, RunError
from truing.core.records import Progress
from truing.data.sets import GITHUB, PinnedFile, PublicSet

if TYPE_CHECKING:
    from httpx2 import Client

UNFINISHED = ".unfinished"
_ATTEMPTS = 4
_SECONDS = 30.0  # without a byte
_PART, _NO_SUCH_RANGE = 206, 416
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


def fetch(one: PublicSet, folder: Path, site: str = GITHUB, pause: float = 1.0) -> Iterator[Progress]:
    """Bring a set's missing files into a data folder; yields how many bytes of each are there. `site` is another place
    that holds the same paths; `pause` (seconds) doubles from attempt to attempt.

    Raises `InputError`, before anything is fetched, where a file of the same name is another; `RunError` where a file
    cannot be had or is not the pinned one.
    """
    import httpx2

    missing = []
    for file in one.files:
        if not (folder / file.name).exists():
            missing.append(file)
        elif not file.is_in(folder / file.name):
            raise InputError(
                f"{folder / file.name} is there, and is not the file of {one.home}; move it away to fetch that one"
            )
    try:
        # Compressed on the way, a range would be one of the compressed bytes.
        headers = {"Accept-Encoding": "identity"}
        with httpx2.Client(headers=headers, follow_redirects=True, timeout=_SECONDS) as client:
            for file in missing:
                yield from _fetch_file(client, file, one.url(file, site), folder, pause)
    except OSError as error:
        where = error.filename or folder
        raise RunError(f"{where}: {error.strerror}; make room or name another folder with --data-dir") from error


def _fetch_file(client: "Client", file: PinnedFile, url: str, folder: Path, pause: float) -> Iterator[Progress]:
    """One file, by its content's name while it is not whole."""
    part = folder / UNFINISHED / (file.sha256 or file.blob)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield from _download(client, file.name, url, part, pause)
        if not file.is_in(part):
            part.unlink()
            raise RunError(f"{url} is not the file that truing knows by that revision; it was thrown away, not kept")
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        _flush(target.parent)
    finally:
        if part.exists() and not part.stat().st_size:
            part.unlink()
        if not any(part.parent.iterdir()):
            part.parent.rmdir()


def _download(client: "Client", name: str, url: str, part: Path, pause: float) -> Iterator[Progress]:
    """Append to `part` until the server says that it is whole."""
    import httpx2

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            yield from _attempt(client, name, url, part)
            return
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            if status not in _AGAIN:
                raise RunError(
                    f"{url}: the server answers {status} ({error.response.reason_phrase}); the file is not to be had "
                    f"there, so fetch it by hand and put it where {name} belongs"
                ) from None
            reason = f"the server answers {status}"
        except httpx2.RequestError as error:
            reason = str(error).strip() or type(error).__name__
        if attempt < _ATTEMPTS:
            time.sleep(pause * 2 ** (attempt - 1))
    kept = "what has come is kept" if part.exists() and part.stat().st_size else "nothing was changed"
    raise RunError(f"{url} could not be fetched ({reason}); {kept}: check the network and run the same command again")


def _attempt(client: "Client", name: str, url: str, part: Path) -> Iterator[Progress]:
    """One request, for what is missing. Raises httpx2's errors."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == _NO_SUCH_RANGE:
            return  # there is no more of it; the pin tells whether that is right
        response.raise_for_status()
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        goes_on = have > 0 and response.status_code == _PART and begins
        done = have if goes_on else 0
        total = done + int(response.headers.get("Content-Length", 0))
        with part.open("ab" if goes_on else "wb") as file:
            for piece in response.iter_raw():
                file.write(piece)
                done += len(piece)
                yield Progress(stage=f"fetching {name}", done=done, total=max(total, done))
            file.flush()
            os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """A rename is on the disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
