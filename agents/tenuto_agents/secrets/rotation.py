"""Making a leaked password worthless: OpenBao's (or Vault's) database engine gives the role another one (M11)."""

from __future__ import annotations

import http.client
from typing import Protocol
from urllib.parse import quote, urlsplit

from tenuto.errors import NotConfigured, TenutoError

SECONDS_MAX = 30.0
ANSWER_BYTES_MAX = 65_536


class RotationFailed(TenutoError):
    """The secret was not rotated, as far as is known: it still opens what it opened."""


class Rotator(Protocol):
    """What can replace a secret where it is used."""

    def rotate(self, role: str) -> None:
        """Replace the secret of `role`; on return the old one opens nothing. Raises RotationFailed."""
        ...


class OpenBaoRotator:
    """A database engine of OpenBao or Vault, over its HTTP API."""

    def __init__(self, address: str, token: bytes, *, mount: str = "database") -> None:
        """`address` such as `https://bao.example:8200`; `token` needs `update` on MOUNT/rotate-role/*. Raises NotConfigured."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise NotConfigured(f"{address!r:.200} is not the address of an OpenBao server, such as https://bao.example:8200.")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._token, self._mount = token, mount

    def rotate(self, role: str) -> None:
        """Give the role's database user another password, at once."""
        connect = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = connect(self._host, self._port, timeout=SECONDS_MAX)
        try:
            path = f"/v1/{self._mount}/rotate-role/{quote(role, safe='')}"
            connection.request("POST", path, b"{}", {"X-Vault-Token": self._token.decode("ascii"), "Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RotationFailed(f"The secrets manager gave no answer ({type(error).__name__}).") from error
        finally:
            connection.close()
        if answer.status not in (200, 204):
            raise RotationFailed(f"The secrets manager answered {answer.status} to the rotation of {role}.")
