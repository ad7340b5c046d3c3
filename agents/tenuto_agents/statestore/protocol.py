"""Terraform's HTTP state protocol in front of the door, by Starlette, served by Uvicorn.

    GET     /states/NAME            the newest version, 404 where there is none
    POST    /states/NAME?ID=LOCK    a new version; Content-MD5 is demanded, and the ID of the lock that is held now
    LOCK    /states/NAME            take the lock; 423 with the holder's JSON where it is held
    UNLOCK  /states/NAME            let go of it; with an empty body it is `force-unlock`, which breaks another's lock
    GET     /states/NAME/versions   facts of all versions; `/versions/N` is one of them

Credentials are those of HTTP Basic (RFC 7617), as Terraform sends `TF_HTTP_USERNAME` and `TF_HTTP_PASSWORD`; a person's
one-time code comes in the header X-Tenuto-Code, which Terraform cannot send: people use `tenuto state`.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from tenuto.errors import Busy

from .door import Answer, Door, Operation, Request
from .versions import LOCK_BYTES_MAX, STATE_BYTES_MAX, STATE_NAME

LOOPBACK = "127.0.0.1"
START_SECONDS_MAX = 30.0
START_PAUSE_SECONDS = 0.01
_OPERATIONS: dict[str, Operation] = {"GET": "read", "POST": "write", "LOCK": "lock", "UNLOCK": "unlock"}


def application(door: Door) -> Starlette:
    """Return the ASGI application over `door`."""

    async def state(asked: HttpRequest) -> Response:
        operation = _OPERATIONS[asked.method]
        body = await _body(asked, STATE_BYTES_MAX if operation == "write" else LOCK_BYTES_MAX)
        if body is None:
            return Response("The body is too large.", 413)
        if operation == "unlock" and not body:
            operation = "break"
        return await _through(door, _request(asked, operation, body))

    async def version(asked: HttpRequest) -> Response:
        number = asked.path_params["number"]
        return await _through(door, _request(asked, "read", b"", number))

    async def versions(asked: HttpRequest) -> Response:
        return await _answered(door.history, _request(asked, "read", b""))

    return Starlette(routes=[
        Route("/states/{name}", state, methods=list(_OPERATIONS)),
        Route("/states/{name}/versions", versions, methods=["GET"]),
        Route("/states/{name}/versions/{number:int}", version, methods=["GET"]),
    ])  # fmt: skip


async def _through(door: Door, request: Request) -> Response:
    return await _answered(door.pass_through, request)


async def _answered(step: object, request: Request) -> Response:
    assert callable(step)
    if not STATE_NAME.fullmatch(request.state):
        return Response("No state has such a name: lower case letters, digits, hyphens.", 404)
    try:
        answer: Answer = await run_in_threadpool(step, request)
    except Busy as busy:
        return Response(f"The record cannot be written, so nothing is done: {busy}", 503)
    return Response(answer.body, answer.status, answer.headers)


def _request(asked: HttpRequest, operation: Operation, body: bytes, version: int | None = None) -> Request:
    user, token = _basic(asked.headers.get("Authorization", ""))
    return Request(
        operation=operation, state=asked.path_params["name"], user=user, token=token, body=body, version=version,
        code=asked.headers.get("X-Tenuto-Code", ""), md5=asked.headers.get("Content-MD5", ""),
        lock=asked.query_params.get("ID", ""),
    )  # fmt: skip


def _basic(header: str) -> tuple[str, str]:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, token = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return user, token


async def _body(asked: HttpRequest, limit: int) -> bytes | None:
    """Return the body, or None as soon as it is longer than `limit` bytes."""
    parts, size = [], 0
    async for part in asked.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


@contextmanager
def serving(door: Door, port: int = 0, *, address: str = LOOPBACK) -> Iterator[str]:
    """Serve in a thread for the length of the block; gives the address, such as `http://127.0.0.1:8600`.

    Port 0 is a free one. Raises Busy when it does not come up, as where the port is taken.
    """
    config = uvicorn.Config(
        application(door), host=address, port=port, log_level="warning", lifespan="off", access_log=False,
        server_header=False, date_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    try:
        thread = threading.Thread(target=server.run, args=([socket],), name="state-store", daemon=True)
        thread.start()
        try:
            _await_started(server, thread)
            yield f"http://{address}:{socket.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(START_SECONDS_MAX)
    finally:
        socket.close()


def _await_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise Busy("The state store did not come up.")
        time.sleep(START_PAUSE_SECONDS)
