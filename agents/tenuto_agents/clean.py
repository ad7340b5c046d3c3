"""The files of a change as the model may see them: cleaned in the sandbox (M1), under neutral names."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .analysis import AnalysisRefused
from .change import ChangedFile
from .sandbox import Box

CLEANING_SECONDS_MAX = 60.0
GRAMMAR_SUFFIXES = (".py", ".pyi", ".pyw", ".tf", ".tfvars", ".hcl")
_PROGRAM = Path(__file__).with_name("cleaning.py")


@dataclass(frozen=True, slots=True)
class CleanFile:
    """One file, both sides, without comments; the missing side is empty. known: there was a grammar for it."""

    before: str
    after: str
    known: bool


def clean_files(files: Sequence[ChangedFile], box: Box) -> Mapping[str, CleanFile]:
    """Return the text files by path; raises AnalysisRefused when the cleaning failed, Breach when it was attacked."""
    texts = [file for file in files if file.regular and not file.binary]
    known = {number: file for number, file in enumerate(texts) if _suffix(file) in GRAMMAR_SUFFIXES}
    cleaned = _clean(known, box) if known else {}
    return {file.path: _side_by_side(file, number, cleaned) for number, file in enumerate(texts)}


def _suffix(file: ChangedFile) -> str:
    return PurePosixPath(file.path).suffix


def _clean(known: Mapping[int, ChangedFile], box: Box) -> Mapping[str, str]:
    with tempfile.TemporaryDirectory(prefix="tenuto-cleaning-") as name:
        folder = Path(name)
        for number, file in known.items():
            for side, content in (("before", file.before), ("after", file.after)):
                (folder / f"{number:04}-{side}{_suffix(file)}").write_bytes(content or b"")
        ended = box.run([sys.executable, "-I", str(_PROGRAM)], folder=folder, seconds=CLEANING_SECONDS_MAX, reads=(_PROGRAM,))
        wanted = {file.name for file in folder.iterdir()}
    if ended.code != 0:
        remedy = " Is the extra `agents` installed?" if b"No module named" in ended.stderr else ""
        raise AnalysisRefused(f"The comments could not be taken out, so no model is asked: {ended.complaint()}{remedy}")
    try:
        cleaned = json.loads(ended.stdout)
    except ValueError as error:
        raise AnalysisRefused(f"The cleaning wrote no JSON, so no model is asked: {error}.") from error
    if not isinstance(cleaned, dict) or set(cleaned) != wanted or not all(isinstance(text, str) for text in cleaned.values()):
        raise AnalysisRefused("The cleaning gave other files than it was given, so no model is asked.")
    return cleaned


def _side_by_side(file: ChangedFile, number: int, cleaned: Mapping[str, str]) -> CleanFile:
    after = cleaned.get(f"{number:04}-after{_suffix(file)}")
    before = cleaned.get(f"{number:04}-before{_suffix(file)}")
    if after is None or before is None:
        return CleanFile(_text(file.before), _text(file.after), known=False)
    return CleanFile(before, after, known=True)


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", errors="replace")
