"""What is asked for, cut into the pieces that a reviewer has to see: resources, images, files, gravest first.

The same function for who asks, for the console that shows the pieces, and for anybody who checks. Each piece has a digest
over exactly what is shown, a risk class, and a least time on screen that grows with its size and its risk. A request
commits to the list (`approval.listed`, then `approval.requested`); the fold holds every approval to it.

What bears no risk is said here and nowhere else: a resource that is only read or left alone, and the printed plan where
its resources are pieces themselves. Everything else has to be seen. The title and the sentence are a piece of their own,
so no request is without one; what cannot be parsed is one grave piece.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from ..documents import ApprovalCard, ImageChange, PlannedChange
from ..errors import Refused
from ..events.approval import PieceRisk
from ..events.base import PIECE_NAME_CHARACTERS_MAX
from .diff import DiffFile, DiffRefused, parse_diff

PIECES_MAX = 600
PIECE_LINES = 60
"""A longer file is cut at its hunks into parts of about so many lines: what fits on a screen."""
PIECE_MILLISECONDS_MAX = 60_000

RISK_CLASSES: tuple[str, ...] = ("grave", "elevated", "plain", "none")
"""From what cannot be undone or opens a door to what need not be seen."""
FLOOR: Mapping[str, int] = {"grave": 1_500, "elevated": 600, "plain": 300, "none": 0}
"""Milliseconds that a piece of this class is on screen at least, however small; the fold accepts no list below it."""
PER_UNIT: Mapping[str, int] = {"grave": 250, "elevated": 60, "plain": 30, "none": 0}
"""Milliseconds more for each changed line or attribute."""

GRAVE_RISKS = frozenset({"security_group", "iam", "public_endpoint", "deletion", "replacement"})
_ELEVATED_PATHS = re.compile(
    r"(^|/)(infra|\.github|\.gitlab|\.circleci|\.ci|deploy|migrations)/|(^|/)(dockerfile|makefile|jenkinsfile|codeowners)$"
    r"|\.(tf|tfvars|sh|service|lock|cedar|rego)$|(^|/)(requirements[^/]*\.txt|pyproject\.toml|package(-lock)?\.json|go\.(mod|sum))$",
    re.IGNORECASE,
)
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9._:/@+-]+")

Kind = Literal["summary", "resource", "image", "file", "plan"]
_KINDS: tuple[str, ...] = get_args(Kind)


class PiecesRefused(Refused):
    """The change has more pieces than anybody reviews."""

    reason = "not_reviewable"


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece. `name` fits a header; `title` and the content are what strangers wrote and are shown as text.

    digest: SHA-256 over kind, title and content. milliseconds: least time on screen. change, image, lines: the content,
    by kind; lines are those of the diff or of the text, as they stand.
    """

    digest: str
    name: str
    risk: PieceRisk
    milliseconds: int
    kind: Kind
    title: str
    change: PlannedChange | None = None
    image: ImageChange | None = None
    lines: tuple[str, ...] = ()


def pieces_of(card: ApprovalCard, risks: Sequence[str] = ()) -> tuple[Piece, ...]:
    """Return the pieces of what is asked, gravest first; raises PiecesRefused above PIECES_MAX (600).

    `risks` are those of the request: where they name a grave one and no piece shows it, the summary is grave.
    """
    found = [*map(_resource, card.changes), *map(_image, card.images), *_files(card)]
    if card.plan_text:
        found.append(_text("plan", "The plan as the tool printed it", card.plan_text, "none" if card.changes else "grave"))
    unshown = GRAVE_RISKS.intersection(risks) and all(piece.risk != "grave" for piece in found)
    found.append(_summary(card, "grave" if unshown else "plain"))
    if len(found) > PIECES_MAX:
        raise PiecesRefused(f"The change has {len(found)} pieces; more than {PIECES_MAX} are not reviewed at once. Split it.")
    once = {piece.digest: piece for piece in found}.values()
    return tuple(sorted(once, key=lambda piece: (RISK_CLASSES.index(piece.risk), _KINDS.index(piece.kind))))


def list_digest(entries: Iterable[tuple[str, str, str, int]]) -> str:
    """Return the SHA-256, hex, over a list of (digest, name, risk, milliseconds), in order."""
    total = hashlib.sha256(b"tenuto pieces v1\n")
    for digest, name, risk, milliseconds in entries:
        total.update(f"{digest} {name} {risk} {milliseconds}\n".encode())
    return total.hexdigest()


def entries_of(pieces: Sequence[Piece]) -> tuple[tuple[str, str, str, int], ...]:
    """Return what the ledger holds of each piece: digest, name, risk class, least milliseconds."""
    return tuple((piece.digest, piece.name, piece.risk, piece.milliseconds) for piece in pieces)


def piece_name(title: str) -> str:
    """Return a title in the alphabet of a header's names, at most PIECE_NAME_CHARACTERS_MAX (96) characters."""
    name = _NOT_IN_A_NAME.sub("-", title.lower()).lstrip("._:/@+-")[:PIECE_NAME_CHARACTERS_MAX]
    return name or "piece"


def least_milliseconds(risk: str, units: int) -> int:
    """Return the least time on screen of a piece with so many changed lines or attributes."""
    return min(FLOOR[risk] + PER_UNIT[risk] * units, PIECE_MILLISECONDS_MAX)


def risks_of(change: PlannedChange) -> tuple[str, ...]:
    """Return the risks that the author named, and those that the actions themselves say: a missing label hides nothing."""
    actions = set(change.actions)
    said = list(change.risks)
    if {"delete", "create"} <= actions or "replace" in actions:
        said.append("replacement")
    elif "delete" in actions:
        said.append("deletion")
    return tuple(dict.fromkeys(said))


def changed_attributes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> int:
    """Count the attributes that differ; one object on both sides counts by its own attributes."""
    old, new = before or {}, after or {}
    count = 0
    for name in old.keys() | new.keys():
        was, becomes = old.get(name), new.get(name)
        if isinstance(was, Mapping) and isinstance(becomes, Mapping):
            count += changed_attributes(was, becomes)
        else:
            count += name not in old or name not in new or was != becomes
    return count


def _resource(change: PlannedChange) -> Piece:
    risk: PieceRisk
    if GRAVE_RISKS.intersection(risks_of(change)):
        risk = "grave"
    elif change.actions and set(change.actions) <= {"no-op", "read"}:
        risk = "none"
    else:
        risk = "elevated" if change.risks else "plain"
    least = least_milliseconds(risk, changed_attributes(change.before, change.after))
    digest = _digest("resource", change.address, msgspec.json.encode(change, order="deterministic"))
    return Piece(digest, piece_name(change.address), risk, least, "resource", change.address, change=change)


def _image(image: ImageChange) -> Piece:
    content = msgspec.json.encode(image, order="deterministic")
    digest, title = _digest("image", image.name, content), f"image {image.name}"
    least = least_milliseconds("elevated", 1)
    return Piece(digest, piece_name(title), "elevated", least, "image", title, image=image)


def _summary(card: ApprovalCard, risk: PieceRisk) -> Piece:
    """What stands above all pieces: the sentence, and the verdicts beside it."""
    said = (card.title, card.sentence, card.verdict, card.verdict_reasoning, card.findings, card.pull_request)
    content = msgspec.json.encode(said, order="deterministic")
    least = least_milliseconds(risk, 1 + len(card.findings))
    return Piece(_digest("summary", card.title, content), "summary", risk, least, "summary", card.title)


def _text(kind: Kind, title: str, text: str, risk: PieceRisk) -> Piece:
    lines = tuple(text.split("\n"))
    least = least_milliseconds(risk, len(lines))
    return Piece(_digest(kind, title, text.encode()), piece_name(title), risk, least, kind, title, lines=lines)


def _files(card: ApprovalCard) -> Iterator[Piece]:
    if not card.diff.strip():
        return
    try:
        files = parse_diff(card.diff)
    except DiffRefused:
        # Nobody can say where a piece of it begins, so all of it is one, and the gravest: odd text saves no time.
        yield _text("file", "the whole diff", card.diff, "grave")
        return
    for file in files:
        yield from _parts(file)


def _parts(file: DiffFile) -> Iterator[Piece]:
    elevated = file.odd or _ELEVATED_PATHS.search(file.path) is not None
    risk: PieceRisk = "elevated" if elevated else "plain"
    parts = list(file.parts(PIECE_LINES))
    for number, lines in enumerate(parts, 1):
        title = file.path if len(parts) == 1 else f"{file.path} ({number} of {len(parts)})"
        changed = sum(line.startswith(("+", "-")) for line in lines)
        digest = _digest("file", title, "\n".join(lines).encode())
        yield Piece(digest, piece_name(title), risk, least_milliseconds(risk, changed), "file", title, lines=lines)


def _digest(kind: str, title: str, content: bytes) -> str:
    total = hashlib.sha256(b"tenuto piece v1")
    for part in (kind.encode(), title.encode(), content):
        total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()
