"""What one console process holds: settings, a pool that may only read, the last snapshot, and the reviewer's door.

The only file of the console that knows of the environment, the clock and Streamlit's caches. Pages ask it for data; it asks
the read models, and only when their position has moved since the last answer, whoever is looking.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

import sqlalchemy
import streamlit as st
from sqlalchemy import Connection, Engine
from tenuto.clock import SystemClock
from tenuto.errors import Busy, NotConfigured, TenutoError
from tenuto.migrating import sqlalchemy_url
from tenuto.recorder import Recorder
from tenuto.settings import Settings, load_settings
from tenuto.trust import load_trust
from tenuto_projections.copies import options
from tenuto_projections.fleet import AUTHORS_MAX, Author, fleet
from tenuto_projections.inbox import InboxItem
from tenuto_projections.integrity import Integrity, integrity
from tenuto_projections.pending import Pending, briefly, count_pending, in_order
from tenuto_projections.reviewing import Queue, Room, queue
from tenuto_projections.reviewing import rooms as rooms_of
from tenuto_projections.signers import Signer, reviewer_of, signer

from .admission import Admission, NotAdmitted, admit
from .decisions import Door
from .hands import Hand, hand_of
from .passkeys import Page, page_at
from .rulebook import Rulebook, read_rulebook

ROLE = "tenuto_console"
SOFTWARE = "tenuto-console"
CONSOLE = "console"
"""The author in whose name the console says what it showed."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
DOOR_SECONDS = 1.0
FIRST_RECEIPT_SECONDS = 15.0
_LOOK_SECONDS = 1
_KEEP_SECONDS = 3600
_LATELY_SECONDS = 15
_RULEBOOK_SECONDS = 60

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Signed:
    """A decision, or the finding of a second look, that is on its way to the ledger, or there."""

    event_id: str
    decision: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What every page shows: where the log stands, how many requests wait, and whose hand signs."""

    integrity: Integrity
    pending: int
    reviewer: Author | None
    hand: Hand

    @property
    def insecure_demo(self) -> bool:
        """Whether the reviewer signs here with a key that lies unprotected on this machine."""
        return self.hand.by == "key" and self.reviewer is not None and self.reviewer.insecure_demo


def now() -> datetime:
    """The present moment."""
    return SystemClock().now()


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    """The settings of this process."""
    return load_settings()


@st.cache_resource(show_spinner=False)
def origin() -> str:
    """The name of the log that this home trusts."""
    return load_trust(settings().home).origin


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The pool, as a role that may read and nothing else."""
    from tenuto.wiring import role_url

    url = sqlalchemy_url(role_url(settings(), ROLE))
    return sqlalchemy.create_engine(
        url, pool_size=4, max_overflow=8, pool_timeout=5, pool_pre_ping=True, execution_options=options(settings())
    )


def with_login() -> bool:
    """Whether people log in here."""
    return settings().login_metadata_url is not None


def admission(*, fresh: bool = False) -> Admission:
    """Who is looking, in this session, as the ledger has it now. `fresh` asks the read model in any case."""
    if not with_login():
        return Admission("open", settings().reviewer)
    return admit(
        st.user.to_dict(), now(), hours=settings().login_hours,
        reviewer_of=lambda identity: answer(f"login {identity}", lambda asked: reviewer_of(asked, identity), fresh=fresh),
    )  # fmt: skip


def reviewer(*, fresh: bool = False) -> str:
    """In whose name is looked and signed in this session; raises NotAdmitted when it is nobody's."""
    name = admission(fresh=fresh).reviewer
    if name is None:
        raise NotAdmitted("You are not logged in as a reviewer any more. Nothing was signed.")
    return name


@st.cache_resource(show_spinner=False)
def page() -> Page | None:
    """Where people open this console, as far as passkeys go; None where no passkey can belong to it."""
    here = settings()
    if here.console_url is not None:
        return page_at(here.console_url)
    return page_at(f"http://localhost:{here.console_port}") if here.console_address in LOOPBACK else None


def signing(*, fresh: bool = False) -> Signer:
    """How whoever is looking may sign, as the ledger has it."""
    name = reviewer(fresh=fresh)
    return answer(f"signer {name}", lambda connection: signer(connection, name), fresh=fresh)


def hand(*, fresh: bool = False) -> Hand:
    """By which hand is signed in this session; it is asked again at the moment of signing."""
    return hand_of(signing(fresh=fresh), page(), login=with_login())


@st.cache_resource(ttl=_RULEBOOK_SECONDS, show_spinner=False)
def rulebook() -> Rulebook:
    """The rules that lie on this machine, tried anew once a minute."""
    return read_rulebook(settings().policy, now())


def door() -> Door:
    """The configured reviewer's recorder, opened when something is first signed here; raises a TenutoError when it cannot be.

    It opens beside the page, so that whatever is slow there costs a reader one sentence and not the page.
    """
    if with_login():
        raise NotConfigured("Where people log in, decisions are signed by passkey. No key file signs here.")
    return _door_of(reviewer())


def measure() -> Door:
    """The console's own recorder, which says what was on screen; raises a TenutoError when it cannot be opened."""
    return _door_of(CONSOLE)


def _door_of(author: str) -> Door:
    opening = _opening(author)
    try:
        return opening.result(DOOR_SECONDS)
    except TimeoutError:
        raise Busy(f"The recorder of {author} is still being opened. Try again in a moment.") from None
    except TenutoError:
        _opening.clear()
        raise


@st.cache_resource(show_spinner=False)
def _opening(author: str) -> Future[Recorder]:
    beside = ThreadPoolExecutor(1, thread_name_prefix="door")
    opening = beside.submit(_open_door, author)
    beside.submit(_close_at_exit, opening)
    return opening


def _open_door(author: str) -> Recorder:
    from tenuto.wiring import open_recorder

    recorder = open_recorder(settings(), author, software=SOFTWARE)
    recorder.room_seconds = DOOR_SECONDS  # with a full spool a click gets an answer
    return recorder


def _close_at_exit(opening: Future[Recorder]) -> None:
    """End the session with the process. What is registered last runs first, so the producer, which closes itself at exit,
    must have been there before; a first receipt says that it was.
    """
    recorder = opening.result()
    with suppress(Busy):
        recorder.flush(FIRST_RECEIPT_SECONDS)
    atexit.register(recorder.close)


@st.cache_resource(show_spinner=False)
def signed_here() -> dict[tuple[str, str], Signed]:
    """What was signed in this process, by reviewer and request: a reload, or a second tab, must not ask again."""
    return {}


def ask(query: Callable[[Connection], Answer]) -> Answer:
    """Run one query of a read model on a pooled connection."""
    with engine().connect() as connection:
        return query(connection)


def snapshot() -> Snapshot:
    """What all pages share; the rest of it is fetched anew only when the read models have moved."""
    here, name = _integrity(), reviewer()
    return Snapshot(here, answer("pending", count_pending), _author_at(here.size, name), hand())


def waiting() -> tuple[Pending, ...]:
    """The open requests in short, oldest first."""
    return answer("waiting", briefly)


def items(names: Sequence[str]) -> tuple[InboxItem, ...]:
    """Return these requests whole, in this order."""
    return answer(f"items {' '.join(names)}", lambda connection: in_order(connection, names)) if names else ()


def desks() -> Queue:
    """Who has what, what waits, and who has room."""
    return answer("desks", queue)


def rooms() -> dict[str, Room]:
    """Who has room, without what waits: a page that needs no more asks for no more."""
    return answer("rooms", rooms_of)


def answer(name: str, query: Callable[[Connection], Answer], *, fresh: bool = False) -> Answer:
    """Return what `query` says at the present position. `name` tells queries apart; `fresh` asks again in any case."""
    if fresh:
        return ask(query)
    return cast("Answer", _remembered(name, _integrity().size, query))


def lately(name: str, query: Callable[[Connection], Answer]) -> Answer:
    """Return what `query` said within the last _LATELY_SECONDS: for figures over weeks, which no event moves by much."""
    return cast("Answer", _said_lately(name, query))


@st.cache_resource(ttl=_LATELY_SECONDS, show_spinner=False)
def _said_lately(name: str, _query: Callable[[Connection], object]) -> object:
    return ask(_query)


@st.cache_resource(ttl=_LOOK_SECONDS, show_spinner=False)
def _integrity() -> Integrity:
    return ask(integrity)


# Frozen values need no copy for every session, so these are kept as resources; cache_data would pickle them each time.
@st.cache_resource(ttl=_KEEP_SECONDS, max_entries=64, show_spinner=False)
def _author_at(position: int, name: str) -> Author | None:
    return ask(lambda connection: _author(connection, name))


@st.cache_resource(ttl=_KEEP_SECONDS, max_entries=128, show_spinner=False)
def _remembered(name: str, position: int, _query: Callable[[Connection], object]) -> object:
    return ask(_query)


def _author(connection: Connection, name: str) -> Author | None:
    after = ""
    while page := fleet(connection, AUTHORS_MAX, after):
        found = next((author for author in page if author.author == name), None)
        if found is not None or len(page) < AUTHORS_MAX:
            return found
        after = page[-1].author
    return None
