"""A mail server as a process of its own (aiosmtpd), with STARTTLS: `python mail_server.py FOLDER [CERT KEY]`.

It writes its port into FOLDER/port and each letter into FOLDER/<number>.json: from, to, and the bytes as they came. Recipients that
begin with `nobody` are refused for ever, those with `later` for now; a file FOLDER/away makes it drop every connection.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from itertools import count
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

NUMBERS = count()


class Keeping:
    """Keeps every letter as a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 no such person here"
        if address.startswith("later"):
            return "451 4.2.1 come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        said = {
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "text": envelope.content.decode("latin-1"), "tls": session.ssl is not None,
            "user": None if session.auth_data is None else session.auth_data.login.decode(),
        }
        name = f"{next(NUMBERS):04}.json"
        (self.folder / f".{name}").write_text(json.dumps(said))
        (self.folder / f".{name}").rename(self.folder / name)
        return "250 kept"


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    well = (data.login, data.password) == (b"tenuto", b"a secret")
    return AuthResult(success=well, handled=False, auth_data=data)


async def serve(folder: Path, files: list[str]) -> None:
    context = None
    if files:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*files)
    loop = asyncio.get_running_loop()

    def session() -> asyncio.Protocol:
        if (folder / "away").exists():
            return Absent()
        return SMTP(
            Keeping(folder), hostname="localhost", tls_context=context, require_starttls=context is not None,
            authenticator=authenticate, auth_require_tls=True, loop=loop,
        )

    server = await loop.create_server(session, "127.0.0.1", 0)
    (folder / ".port").write_text(str(server.sockets[0].getsockname()[1]))
    (folder / ".port").rename(folder / "port")
    await server.serve_forever()


class Absent(asyncio.Protocol):
    """Hangs up at once."""

    def connection_made(self, transport: Any) -> None:
        transport.abort()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2:]))
