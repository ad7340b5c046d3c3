"""The HTTP side of the reception: reads no more than a webhook may have, and hands it over to a thread."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .reception import BODY_BYTES_MAX, Answer, Reception

PATH = "/github"


def application(reception: Reception) -> Starlette:
    """Return the ASGI application: `POST /github`, and `GET /healthz`."""

    async def take(request: Request) -> Response:
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return _told(Answer(413, f"The webhook has more than {BODY_BYTES_MAX:,} bytes."))
        return _told(await run_in_threadpool(reception.take, dict(request.headers), body))

    async def health(request: Request) -> Response:
        return JSONResponse({"healthy": True})

    return Starlette(routes=[Route(PATH, take, methods=["POST"]), Route("/healthz", health)])


async def _body(request: Request) -> bytes | None:
    """The body, or None as soon as it is longer than a webhook may be, whatever its headers say."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > BODY_BYTES_MAX:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return None
    return bytes(body)


def _told(answer: Answer) -> Response:
    return JSONResponse({"message": answer.sentence}, status_code=answer.status)
