"""One call to the REST API of a platform: over TLS, to one address, bounded in time and size, no redirect followed."""

from __future__ import annotations

import http.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tenuto.errors import Busy, NotConfigured, TenutoError

SECONDS_MAX = 30.0
ANSWER_BYTES_MAX = 16 * 1024**2
_DONE = (200, 201, 204)
_TRY_AGAIN = (403, 429)  # platforms answer 403 also for a limit of calls


class PlatformRefused(TenutoError):
    """The platform does not do what it was asked; trying again does not help."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An HTTP status and a body."""

    status: int
    text: bytes


class Api:
    """The API at one address. Any thread may call; each call has a connection of its own."""

    def __init__(self, platform: str, address: str, headers: Mapping[str, str]) -> None:
        """`headers` go with every call; raises NotConfigured unless the address is https, or http on this machine."""
        parts = urlsplit(address)
        local = parts.hostname in ("127.0.0.1", "localhost")
        if not parts.hostname or parts.username or parts.scheme not in (("https", "http") if local else ("https",)):
            raise NotConfigured(f"{address!r:.200} is not the https address of {platform}.")
        self.platform = platform
        self._secure, self._host, self._port, self._path = parts.scheme == "https", parts.hostname, parts.port, parts.path.rstrip("/")
        self._headers = {"User-Agent": "tenuto", **headers}

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, also: Sequence[int] = ()
    ) -> Answered:
        """Return what was answered with 200, 201, 204 or a status in `also`; `path` begins with a slash.

        Raises Busy where the platform is away, overloaded or says no more than we may read; PlatformRefused for every other answer.
        """
        connect = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = connect(self._host, self._port, timeout=SECONDS_MAX)
        try:
            connection.request(method, self._path + path, body, {**self._headers, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read(ANSWER_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Busy(f"{self.platform} gave no answer ({type(error).__name__}).") from error
        finally:
            connection.close()
        if answer.status in _TRY_AGAIN or answer.status >= 500:
            raise Busy(f"{self.platform} answered {answer.status} to {method} {path}.")
        if answer.status not in (*_DONE, *also):
            raise PlatformRefused(f"{self.platform} answered {answer.status} to {method} {path}.")
        if len(text) > ANSWER_BYTES_MAX:
            raise PlatformRefused(f"{self.platform} answered {method} {path} with more than {ANSWER_BYTES_MAX:,} bytes.")
        return Answered(answer.status, text)
