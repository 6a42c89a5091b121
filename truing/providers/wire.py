"""What a provider's file takes and gives: one question, and one reply or the reason why there is none.

The words of HTTP that all three share (which status may be asked again, how long to wait) are here, too.
"""

import email.utils
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import Field

from truing.core.records import Message
from truing.providers.limits import Tokens

Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Request:
    """One question. `turns` begin and end with the user's; `temperature` and `seed` are None where they are not
    sent."""

    system: str | None
    turns: tuple[Message, ...]
    max_new_tokens: int
    temperature: float | None
    seed: int | None


@dataclass(frozen=True)
class Reply:
    """What a server answered. `missing` says why this is no whole answer by the model itself, "" where it is one."""

    text: str
    finished: bool | None
    stop: str | None
    missing: str
    model: str | None
    prompt_tokens: int | None
    output_tokens: int | None
    thinking_tokens: int | None = None
    logprobs: tuple[float, ...] = ()

    @property
    def usage(self) -> Tokens | None:
        """The tokens, if both counts were told."""
        if self.prompt_tokens is None or self.output_tokens is None:
            return None
        return Tokens(self.prompt_tokens, self.output_tokens)


class FailedError(Exception):
    """An attempt brought no reply. `again`: another one may; `wait`: the seconds that the server asked for. `billed`:
    it may have been billed. `fatal`: so would every other request (a wrong key, an unknown model)."""

    def __init__(
        self, what: str, *, again: bool = False, wait: float | None = None, billed: bool = False, fatal: bool = False
    ) -> None:
        super().__init__(what)
        self.again, self.wait, self.billed, self.fatal = again, wait, billed, fatal


class Asker(Protocol):
    """One provider's wire format, by its official library, whose own retries are off. Used within one event loop."""

    async def ask(self, request: Request, /) -> Reply:
        """Ask once. Raises `FailedError`."""
        ...

    async def close(self) -> None: ...


@contextmanager
def failures(library: Any) -> Iterator[None]:
    """Turn what the library `openai` or `anthropic` raises into a `FailedError`. One generator makes both: their errors
    have the same names."""
    import httpx2

    try:
        yield
    except library.APIStatusError as error:
        raise refused(error.status_code, message_of(error.body, error.message), error.response.headers) from None
    except (library.APIConnectionError, httpx2.TransportError) as error:
        raise cut(error) from None
    except library.APIError as error:
        raise FailedError(f"the server broke off ({error.message})", again=True, billed=True) from None
    except ValueError as error:
        raise garbage(str(error)) from None


def plain(library: Any, found: Any) -> Any:
    """What such a library made of a JSON object, as plain values. Raises `FailedError` where there was none."""
    if not isinstance(found, library.BaseModel):
        raise garbage("it is no JSON object")
    return found.to_dict(warnings=False)


def cut(error: Exception) -> FailedError:
    """The connection could not be made, or ended before the reply did. Raised by a library itself or as another's
    cause."""
    import httpx2  # every provider's library is built on it

    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    what = str(cause).strip().partition("\n")[0] or type(cause).__name__
    reached = not any(isinstance(one, httpx2.ConnectError | httpx2.ConnectTimeout) for one in (error, cause))
    return FailedError(f"the connection failed ({what})", again=True, billed=reached)


def half() -> FailedError:
    """A stream ended as if it were whole, and its end is not there."""
    return FailedError("the stream ended before the answer did", again=True, billed=True)


def garbage(what: str) -> FailedError:
    """The server said something that is no reply: asking again would not mend it."""
    return FailedError(f"the reply cannot be read ({what})", billed=True)


def refused(status: int, message: str, headers: Mapping[str, str], wait: float | None = None) -> FailedError:
    """What an HTTP status means. 408, 429 and 5xx may pass; a key, model or address that is wrong does not."""
    told = f"status {status}: {message}"
    if 300 <= status < 400:
        return FailedError(f"the server sends us elsewhere ({told}); give the address itself as base_url", fatal=True)
    if status in (401, 403):
        return FailedError(f"the server refuses the key ({told}); check the key and key_env", fatal=True)
    if status == 404:
        return FailedError(f"the server knows no such model or address ({told}); check both", fatal=True)
    if status in (408, 429) or status >= 500:
        asked = retry_after(headers)
        return FailedError(
            f"the server is not able to answer ({told})", again=True, wait=wait if asked is None else asked
        )
    return FailedError(f"the server refuses the request ({told})")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds to wait that a server asks for (RFC 9110, 10.2.3: seconds or a date; some tell milliseconds apart);
    None where it asks for none, or in no form that can be read."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(date.timestamp() - time.time(), 0.0)


def message_of(body: object, otherwise: str) -> str:
    """What an error's body says: `{"error": {"message": …}}`, or its inner part, in all three formats."""
    inner = body.get("error", body) if isinstance(body, dict) else None
    message = inner.get("message") if isinstance(inner, dict) else None
    return message if isinstance(message, str) and message else otherwise
