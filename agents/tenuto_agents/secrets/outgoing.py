"""What every payload passes before it is signed: no secret leaves an agent, whatever its model was talked into (M8).

A secret is cut out and a mark with its kind stands in its place, so that the sentence around it still goes on record.
Where it cannot be cut out (it is spread over several texts, or over two payloads of one run), the texts that hold its parts
are replaced as a whole. What was found is handed to `on_leak`, with a fingerprint and without the secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from tenuto.errors import UNREADABLE, Refused
from tenuto.events import Event

from .scanning import Hit, SecretScanner

TAIL_BYTES = 512
RUNS_MAX = 64
_LOOSE = frozenset({"assignment", "url-password"})
"""Kinds that are recognised by what stands around them; across two texts that says nothing."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret that was kept from leaving. place: the kind of the event whose payload held it."""

    kind: str
    fingerprint: str
    place: str
    run: str | None


@dataclass(frozen=True, slots=True)
class _Text:
    """One text of a document; the name of a field stands between two values and belongs to neither."""

    plain: str
    is_name: bool = False

    @property
    def encoded(self) -> bytes:
        return self.plain.encode("utf-8", errors="replace")


class OutputFilter:
    """The filter of one agent. Its `screen` is given to `Recorder.screen_payloads`."""

    def __init__(self, scanner: SecretScanner, on_leak: Callable[[Leak], None]) -> None:
        """`on_leak` is called once for each secret in each payload, before the payload goes on."""
        self._scanner, self._on_leak = scanner, on_leak
        self._tails: dict[str, bytes] = {}

    def screen(self, kind: type[Event], payload: tuple[str, bytes], run: str | None) -> tuple[str, bytes]:
        """Return media type and bytes without any secret. Raises Refused for what holds one and cannot be cleaned."""
        media, content = payload
        try:
            document = msgspec.json.decode(content) if media.endswith("json") else content.decode("utf-8", errors="replace")
        except UNREADABLE:
            document = content.decode("utf-8", errors="replace")
        texts = list(_texts(document))
        tail = self._tails.get(run or "", b"")
        found = self._find(texts, tail)
        if not found:
            self._keep_tail(run or "", tail, texts)
            return payload
        place = str(kind.__struct_config__.tag)
        cleaned = iter([clean for clean, _ in found])
        screened = _replaced(document, cleaned)
        encoded = screened.encode() if isinstance(screened, str) and not media.endswith("json") else msgspec.json.encode(screened)
        said = list(_texts(screened))
        self._keep_tail(run or "", b"", said)  # what did go out; the parts of a secret that was found did not
        if self._find(said, b""):
            raise Refused(f"The payload of this {place} holds a secret that cannot be cut out; it is not said.", reason="secret")
        self._report(found, place, run)
        return media, encoded

    def _report(self, found: Sequence[tuple[str, list[Hit]]], place: str, run: str | None) -> None:
        for kind, fingerprint in dict.fromkeys((hit.kind, hit.fingerprint) for _, hits in found for hit in hits):
            self._on_leak(Leak(kind, fingerprint, place, run))

    def text(self, text: str, place: str, run: str | None = None) -> str:
        """Return `text` without any secret: for what goes to somebody else than the ledger, such as a model's provider."""
        encoded = text.encode("utf-8", errors="replace")
        hits = self._scanner.find(encoded)
        self._report([("", hits)], place, run)
        return _cut(encoded, hits) if hits else text

    def find(self, text: bytes) -> Sequence[Hit]:
        """Return the secrets in `text`, for who looks into what others wrote; nothing is reported as a leak of this agent."""
        return self._scanner.find(text)

    def demand_clean(self, values: Any, place: str, run: str | None = None) -> None:
        """Raise Refused if a secret is anywhere in `values`: for the arguments of a tool, where a mark would be a lie."""
        hits = [hit for text in _texts(msgspec.to_builtins(values)) for hit in self._scanner.find(text.encoded)]
        self._report([("", hits)], place, run)
        if hits:
            raise Refused(f"The arguments of {place} hold a secret ({hits[0].kind}); give a reference to it instead.", reason="secret")

    def _find(self, texts: Sequence[_Text], tail: bytes) -> list[tuple[str, list[Hit]]]:
        """Each text as it may go out, with what was found in it; empty when nothing was."""
        hits = [self._scanner.find(text.encoded) for text in texts]
        found = [(_cut(text.encoded, own) if own else text.plain, own) for text, own in zip(texts, hits, strict=True)]
        for number, hit in self._spread(texts, tail, {number for number, own in enumerate(hits) if own}):
            found[number] = (_mark(hit), [*found[number][1], hit])
        return found if any(own for _, own in found) else []

    def _spread(self, texts: Sequence[_Text], tail: bytes, hit_already: set[int]) -> Iterator[tuple[int, Hit]]:
        """Secrets that show only when the values are read one after the other, each with every text that holds a part."""
        values = [(number, text.encoded) for number, text in enumerate(texts) if not text.is_name]
        for hit in self._scanner.find(tail + b"".join(encoded for _, encoded in values)):
            at, touched = len(tail), list[int]()
            for number, encoded in values:
                if encoded and hit.start < at + len(encoded) and hit.end > at:
                    touched.append(number)
                at += len(encoded)
            in_tail = hit.start < len(tail)
            alone = len(touched) == 1 and not in_tail
            if touched and not alone and hit.kind not in _LOOSE and (in_tail or touched[0] not in hit_already):
                yield from ((number, hit) for number in touched)

    def _keep_tail(self, run: str, tail: bytes, texts: Sequence[_Text]) -> None:
        self._tails.pop(run, None)
        if len(self._tails) >= RUNS_MAX:
            del self._tails[next(iter(self._tails))]
        self._tails[run] = (tail + b"".join(text.encoded for text in texts if not text.is_name))[-TAIL_BYTES:]


def _texts(value: Any) -> Iterator[_Text]:
    """Every text in a document, names of fields included, in the order in which it is written."""
    if isinstance(value, str):
        yield _Text(value)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield _Text(str(name), is_name=True)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _replaced(value: Any, texts: Iterator[str]) -> Any:
    """The same document with these texts, in the order of `_texts`."""
    if isinstance(value, str):
        return next(texts)
    if isinstance(value, dict):
        return {next(texts): _replaced(inner, texts) for inner in value.values()}
    if isinstance(value, list | tuple):
        return [_replaced(inner, texts) for inner in value]
    return value


def _cut(text: bytes, hits: Sequence[Hit]) -> str:
    kept, at = bytearray(), 0
    for hit in hits:
        if hit.end > at:
            kept += text[at : max(at, hit.start)] + _mark(hit).encode()
            at = hit.end
    return (kept + text[at:]).decode("utf-8", errors="replace")


def _mark(hit: Hit) -> str:
    return f"[secret {hit.kind} {hit.fingerprint[:8]}]"
