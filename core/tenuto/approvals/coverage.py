"""What a reviewer had on screen before signing: rule 3, from headers alone.

The requester lists its pieces (`approval.listed`) and commits to the list in the request. The console records, under its
own key, each piece that it showed and for how long (`approval.viewed`). The reviewer's signature names the chain over
exactly these records. So the console cannot sign for the reviewer, and the reviewer cannot say that he looked: whoever
wants to cheat needs both keys, and even then it stands on record piece by piece.

What this cannot see: whether anybody sat before the screen. A reviewer who leaves each piece open gets his time; a console
that lies about the time is believed. Both are named by their keys.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from ..events import ApprovalListed, ApprovalRequested, ApprovalViewed
from ..keyring import Key
from .pieces import FLOOR, GRAVE_RISKS, PIECES_MAX, list_digest

MEASURING_ROLE = "console"
VIEW_MILLISECONDS_MAX = 600_000
"""What one record of a view may claim; more is no measurement."""


@dataclass(frozen=True, slots=True)
class ListedPiece:
    """One piece as the ledger has it; see `tenuto.approvals.pieces.Piece`."""

    digest: str
    name: str
    risk: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class PieceList:
    """The pieces that a request commits to. `fault` says why nothing can be approved by it, "" if something can."""

    pieces: tuple[ListedPiece, ...] = ()
    fault: str = "the request lists no pieces, so nobody can have seen what it would do."

    @property
    def demanded(self) -> tuple[ListedPiece, ...]:
        """The pieces that bear risk, gravest first."""
        return tuple(piece for piece in self.pieces if piece.risk != "none")


@dataclass(frozen=True, slots=True)
class Covered:
    """What one reviewer has seen of one request. digest: what the next signature has to name. missing: what is not seen.

    milliseconds: by piece digest. sentence: what is missing, in one sentence; "" when nothing is.
    """

    digest: str
    milliseconds: dict[str, int]
    missing: tuple[ListedPiece, ...]
    sentence: str


def first_coverage(approval: str, digest: str, reviewer: str) -> str:
    """Return the coverage of a reviewer who has seen nothing of this request yet, hex."""
    return hashlib.sha256(f"tenuto coverage v1\n{approval}\n{digest}\n{reviewer}\n".encode()).hexdigest()


def next_coverage(before: str, piece: str, milliseconds: int) -> str:
    """Return the coverage after one more view, hex."""
    return hashlib.sha256(f"{before}\n{piece}\n{milliseconds}\n".encode()).hexdigest()


@dataclass
class Listing:
    """The pieces that an author listed for a request that it has not made yet."""

    digest: str
    pieces: list[ListedPiece] = field(default_factory=list)
    fault: str = ""

    def take(self, event: ApprovalListed) -> None:
        """Take the next part of the list; what does not fit spoils it, and a spoiled list stays spoiled."""
        columns = (event.pieces, event.names, event.risks, event.milliseconds)
        if len({len(column) for column in columns}) != 1 or event.digest != self.digest:
            self.fault = "the list of pieces is uneven, or is about more than one digest."
        elif len(self.pieces) + len(event.pieces) > PIECES_MAX:
            self.fault = f"the list has more than {PIECES_MAX} pieces."
        else:
            self.pieces += map(ListedPiece, *columns)


def committed_list(request: ApprovalRequested, listing: Listing | None) -> PieceList:
    """Return the list that the request commits to; where the two do not fit, a list by which nothing can be approved."""
    if listing is None or request.pieces is None:
        return PieceList()
    pieces = tuple(listing.pieces)
    fault = listing.fault or _fault(request, pieces)
    if not fault and listing.digest != request.digest:
        fault = "the list of pieces is about another digest."
    return PieceList(pieces, fault)


def _fault(request: ApprovalRequested, pieces: tuple[ListedPiece, ...]) -> str:
    listed = list_digest((piece.digest, piece.name, piece.risk, piece.milliseconds) for piece in pieces)
    if not pieces or (listed, len(pieces)) != (request.pieces, request.pieces_count):
        return "the list of pieces is not the one that the request commits to."
    short = next((piece for piece in pieces if piece.milliseconds < FLOOR[piece.risk]), None)
    if short is not None:
        return f"the piece {short.name} ({short.risk}) may be shown for less than {FLOOR[short.risk]} ms."
    if (request.review_milliseconds or 0) < sum(piece.milliseconds for piece in pieces if piece.risk != "none"):
        return "the time for all pieces is less than the sum of their own."
    named = GRAVE_RISKS.intersection(request.risks)
    if named and all(piece.risk != "grave" for piece in pieces):
        return f"the request names the risk {min(named)}, and no piece of it is grave."
    return ""


@dataclass
class Views:
    """What a console recorded of one reviewer's looking at one request, in ledger order."""

    coverage: str
    seen: list[tuple[str, int, str]] = field(default_factory=list)
    after: dict[str, int] = field(default_factory=dict)

    def take(self, event: ApprovalViewed, key: Key) -> None:
        """Add one view. What no console measured, or nobody could have measured, is not taken."""
        if key.role != MEASURING_ROLE or event.milliseconds > VIEW_MILLISECONDS_MAX:
            return
        self.coverage = next_coverage(self.coverage, event.piece, event.milliseconds)
        self.seen.append((event.piece, event.milliseconds, key.owner))
        self.after[self.coverage] = len(self.seen)

    def covered(self, listed: PieceList, request: ApprovalRequested, *, owner: str, coverage: str | None = None) -> Covered:
        """Return what was seen up to `coverage` (all of it when left out), not counting what `owner` measured himself."""
        end = len(self.seen) if coverage is None else self.after.get(coverage, 0)
        milliseconds: dict[str, int] = {}
        for piece, shown, by in self.seen[:end]:
            if by != owner:
                milliseconds[piece] = milliseconds.get(piece, 0) + shown
        missing = tuple(piece for piece in listed.demanded if not _seen(piece, milliseconds))
        sentence = listed.fault or _said(listed, missing, milliseconds)
        if not sentence:
            total = sum(milliseconds.get(piece.digest, 0) for piece in listed.pieces)
            if total < (request.review_milliseconds or 0):
                sentence = f"all of it was open for {total} ms, {request.review_milliseconds} ms are the least."
        return Covered(self.coverage if coverage is None else coverage, milliseconds, missing, sentence)


def _seen(piece: ListedPiece, milliseconds: dict[str, int]) -> bool:
    return piece.digest in milliseconds and milliseconds[piece.digest] >= piece.milliseconds


def _said(listed: PieceList, missing: tuple[ListedPiece, ...], milliseconds: dict[str, int]) -> str:
    unopened = [piece for piece in missing if piece.digest not in milliseconds]
    if unopened:
        verb = "was" if len(unopened) == 1 else "were"
        return f"{len(unopened)} of {len(listed.demanded)} pieces {verb} not opened, the first: {unopened[0].name}."
    if missing:
        first = missing[0]
        return f"{first.name} was open for {milliseconds[first.digest]} ms, {first.milliseconds} ms are the least."
    return ""
