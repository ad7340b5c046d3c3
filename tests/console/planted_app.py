"""The console's own script over planted read models, with a door that writes down what it was asked to sign.

Started by the browser test in place of `app.py`. The test reads the file and decides when the ledger has the event.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy
import streamlit as st
from tenuto.documents import Document
from tenuto.events.base import Event
from tenuto_dashboard import app, session

from tests.console.planted import COPIES, built
from tests.console.running import line_of


class WrittenDoor:
    """Builds the event and appends it, with its document, to a file of JSON lines."""

    def __init__(self, file: Path, author: str, number: int) -> None:
        self._file, self._author, self._number = file, author, number

    def record(
        self, kind: type[Event], *, document: Document | None = None, run: str | None = None, cause: Sequence[UUID] = (),
        **fields: Any,
    ) -> Event:  # fmt: skip
        self._number += 1
        event = built(self._author, kind, session.now(), self._number, document, run=run, cause=tuple(cause), **fields)
        with self._file.open("ab") as file:
            file.write(line_of(event, getattr(document, "text", None)))
        return event


@st.cache_resource(show_spinner=False)
def planted_engine() -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(os.environ["PLANTED_DATABASE"], pool_size=4, execution_options=COPIES)


@st.cache_resource(show_spinner=False)
def planted_door() -> WrittenDoor:
    return WrittenDoor(Path(os.environ["PLANTED_DOOR"]), session.reviewer(), 90_000)


@st.cache_resource(show_spinner=False)
def planted_measure() -> WrittenDoor:
    return WrittenDoor(Path(os.environ["PLANTED_DOOR"]), session.CONSOLE, 80_000)


session.engine = planted_engine  # type: ignore[assignment]
session.door = planted_door  # type: ignore[assignment]
session.measure = planted_measure  # type: ignore[assignment]
app.main()
