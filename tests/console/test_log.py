"""What the console's log may say without being a defect: one sentence of its web server, and nothing of ours."""

from __future__ import annotations

from pathlib import Path

from tests.console.running import Console

CLOSED = """\
Exception in ASGI application
Traceback (most recent call last):
  File "streamlit/web/server/starlette/starlette_websocket.py", line 516, in _websocket_endpoint
    data = await websocket.receive_bytes()
starlette.websockets.WebSocketDisconnected: WebSocket is not connected. Need to call "accept" first.

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "starlette/websockets.py", line 104, in send
    raise WebSocketDisconnected('Cannot call "send" once a close message has been sent.')
starlette.websockets.WebSocketDisconnected: Cannot call "send" once a close message has been sent.
"""
OURS = """\
Traceback (most recent call last):
  File "tenuto_dashboard/app_pages/inbox.py", line 3, in <module>
ValueError: no
"""


def said(home: Path, text: str) -> str:
    (home / "console.log").write_text(text)
    return Console("", home).log()


def test_a_tab_that_closed_while_it_opened_is_no_defect(tmp_path: Path) -> None:
    assert said(tmp_path, f"URL: here\n{CLOSED}{CLOSED}more\n") == "URL: here\nmore\n"


def test_a_defect_of_a_page_stays_in_the_log_beside_it(tmp_path: Path) -> None:
    assert said(tmp_path, CLOSED + OURS + CLOSED) == OURS
    within = CLOSED.replace("starlette/websockets.py", "tenuto_dashboard/session.py")
    assert said(tmp_path, within + CLOSED) == within
