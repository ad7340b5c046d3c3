"""How long which piece was on screen, measured here and not in the browser. No clock of its own, no Streamlit.

The page asks for itself every few seconds while it is visible. Between two such beats the piece that was open gets the
time that passed, at most BEAT_MILLISECONDS_MAX: a page that was hidden, asleep or closed in between gets no more. A
reviewer who leaves a piece open and looks away gets the time; that is not to be seen from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BEAT_MILLISECONDS_MAX = 5_000


@dataclass
class Looking:
    """One reader's looking at one request. `told` and `untold`: milliseconds by piece, recorded already and not yet."""

    piece: str | None = None
    told: dict[str, int] = field(default_factory=dict)
    untold: dict[str, int] = field(default_factory=dict)
    _since: float = 0.0

    def show(self, piece: str, now: float) -> None:
        """`piece` is on screen now (seconds of a clock that does not run back); what was before it ends."""
        if piece != self.piece:
            self.beat(now)
            self.piece, self._since = piece, now

    def beat(self, now: float) -> None:
        """The page is still there: count the time since the last beat for the piece that is open."""
        if self.piece is not None:
            passed = min(int((now - self._since) * 1000), BEAT_MILLISECONDS_MAX)
            self.untold[self.piece] = self.untold.get(self.piece, 0) + max(passed, 0)
        self._since = now

    def total(self, piece: str) -> int:
        """Return the milliseconds that this piece was open."""
        return self.told.get(piece, 0) + self.untold.get(piece, 0)

    def due(self, least: Mapping[str, int]) -> list[tuple[str, int]]:
        """Return what is to be recorded now: pieces that have just had their least time, and pieces that were left."""
        found = []
        for piece, milliseconds in self.untold.items():
            reached = self.told.get(piece, 0) < least.get(piece, 0) <= self.total(piece)
            left = piece != self.piece and self.told.get(piece, 0) < least.get(piece, 0)
            if milliseconds > 0 and (reached or left):
                found.append((piece, milliseconds))
        return found

    def tell(self, piece: str, milliseconds: int) -> None:
        """These milliseconds are on record."""
        self.untold[piece] -= milliseconds
        self.told[piece] = self.told.get(piece, 0) + milliseconds
