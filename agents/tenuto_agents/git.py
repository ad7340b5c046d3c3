"""Reading a git repository that an attacker may have prepared, without executing anything of it.

git runs programs that a repository names: hooks, filters, text conversions, external diffs, the file system monitor,
signature checkers, and the transport of a lazy fetch. Each of them is switched off here, by command line and environment,
which no configuration inside the repository can override. Attributes and the index are not read either, since
`*.py -diff` would hide a change from its reviewer. Objects are read by their full id only; a branch is resolved once.

The review reads in its sandbox besides: there git sees the repository, read only, and nothing else of the machine.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tenuto.errors import Refused

from .processes import SAFE_PATH, Ended, ToolMissing
from .sandbox import Box, OpenBox

GIT_SECONDS_MAX = 60.0
REVISION_CHARACTERS_MAX = 256
PATH_BYTES_MAX = 1024
BLOB_BYTES_MAX = 5_000_000
FULL_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REVISION = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_./@{}^~+-]*")

REGULAR_MODES = ("100644", "100755")
_INERT = (
    ("core.bare", "true"), ("core.hooksPath", "/dev/null"), ("core.fsmonitor", "false"), ("core.attributesFile", "/dev/null"),
    ("core.pager", "cat"), ("core.untrackedCache", "false"), ("core.sshCommand", "false"), ("core.alternateRefsCommand", ""),
    ("log.showSignature", "false"), ("gpg.program", "false"), ("gpg.ssh.program", "false"), ("gpg.x509.program", "false"),
    ("protocol.allow", "never"), ("credential.helper", ""), ("diff.external", ""), ("submodule.recurse", "false"),
)  # fmt: skip


class RepositoryRefused(Refused):
    """The repository, or something in it, cannot be read as a change; the sentence names the input and the remedy."""

    reason = "repository"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree: octal mode, object id, path. Only REGULAR_MODES are files whose content counts."""

    mode: str
    blob: str
    path: str

    @property
    def regular(self) -> bool:
        """Whether this is a plain file: not a symbolic link and not a submodule."""
        return self.mode in REGULAR_MODES


@dataclass(frozen=True, slots=True)
class Touched:
    """One file that differs between two commits. `status` is A, D, M or T; the side that is missing is None."""

    status: str
    before: Entry | None
    after: Entry | None

    @property
    def path(self) -> str:
        """The file's path; renames are shown as a deletion and an addition."""
        side = self.after or self.before
        assert side is not None
        return side.path


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: full id, its author as claimed, and the first line of its message. All of it is untrusted text."""

    id: str
    author: str
    email: str
    subject: str


class Repository:
    """A repository on this machine, opened for reading by id."""

    def __init__(self, path: Path, *, box: Box | None = None, objects: str = "", alternates: str = "") -> None:
        """`path` is a work tree's top folder or a bare repository; raises RepositoryRefused, or ToolMissing without git.

        box: where git runs; as any program of this machine without one.
        objects, alternates: where a push lies that is not taken yet, as git tells its pre-receive hook.
        """
        self.path, self._box = path, box or OpenBox()
        self._git = find_git()
        given = {"GIT_OBJECT_DIRECTORY": objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES": alternates}
        self._environment = git_environment() | {name: value for name, value in given.items() if value}
        self._folder = _git_folder(path)
        self._places = (self._folder, *_common_folder(self._folder))
        if self._run("rev-parse", "--git-dir").code != 0:
            raise RepositoryRefused(f"{path} is not a git repository: its .git folder cannot be read by git.")

    def resolve(self, revision: str) -> str:
        """Return the full commit id that `revision` names now; raises RepositoryRefused that names it."""
        if len(revision) > REVISION_CHARACTERS_MAX or not _REVISION.fullmatch(revision):
            raise RepositoryRefused(f"{revision!r:.100} is not a revision. Give a branch, a tag or a commit id.")
        ended = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
        found = ended.stdout.decode("ascii", errors="replace").split()
        if ended.code != 0 or not found or not FULL_ID.fullmatch(found[-1]):
            raise RepositoryRefused(f"{self.path} has no commit {revision!r}. `git -C {self.path} branch -a` lists branches.")
        return found[-1]

    def merge_base(self, base: str, head: str) -> str:
        """Return the commit that both have last in common; raises RepositoryRefused when their histories never met."""
        ended = self._run("merge-base", _full(base), _full(head))
        if ended.code != 0:
            raise RepositoryRefused(f"{base} and {head} have no commit in common, so there is no change to review.")
        return ended.stdout.decode("ascii").split()[0]

    def commits(self, base: str, head: str, limit: int) -> tuple[Commit, ...]:
        """Return at most `limit` commits that are in `head` and not in `base`, newest first."""
        form = "--format=%H%x00%an%x00%ae%x00%s%x00"
        span = f"{_full(base)}..{_full(head)}"
        ended = self._demand("log", "--no-show-signature", "--no-mailmap", "--no-color", f"-n{limit}", form, span)
        fields = ended.stdout.decode("utf-8", errors="replace").split("\0")
        rows = zip(*[iter(field.lstrip("\n") for field in fields)] * 4, strict=False)
        return tuple(Commit(*row) for row in rows)

    def touched(self, base: str, head: str) -> tuple[Touched, ...]:
        """Return the files that differ between two commits, by path; raises RepositoryRefused for a path over its limit."""
        ended = self._demand("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", _full(base), _full(head))
        parts = ended.stdout.split(b"\0")
        return tuple(_touched(parts[at], parts[at + 1]) for at in range(0, len(parts) - 1, 2))

    def diff(self, base: str, head: str, path: str) -> str:
        """Return the unified diff of one file, without its header: it starts at the first `@@`, or is empty."""
        ended = self._demand(
            "diff-tree", "-r", "-p", "--text", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
            "--unified=3", _full(base), _full(head), "--", ":(top,literal)" + path,
        )  # fmt: skip
        text = ended.stdout.decode("utf-8", errors="replace")
        start = text.find("\n@@ ")
        return text[start + 1 :] if start >= 0 else ""

    def brought_in(self, commit: str) -> bytes:
        """Return what the commits up to `commit` that no ref holds yet bring in: their messages and every line they add."""
        ended = self._demand(
            "log", "-p", "-m", "--format=%B", "--text", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
            "--no-show-signature", "--no-mailmap", "--unified=0", _full(commit), "--not", "--all",
        )  # fmt: skip
        lines = (line for line in ended.stdout.split(b"\n") if not line.startswith(b"-"))
        return b"\n".join(line.removeprefix(b"+") for line in lines)

    def tree(self, commit: str, folder: str = "") -> tuple[Entry, ...]:
        """Return every file under `folder` (without trailing slash; all by default) at `commit`, by path."""
        ended = self._demand("ls-tree", "-r", "-z", "--full-tree", _full(commit))
        entries = (_entry(line) for line in ended.stdout.split(b"\0") if line)
        return tuple(entry for entry in entries if not folder or entry.path.startswith(folder + "/"))

    def content(self, blob: str) -> bytes:
        """Return a file's bytes by object id; raises RepositoryRefused over BLOB_BYTES_MAX (5 MB)."""
        size = int(self._demand("cat-file", "-s", _full(blob)).stdout)
        if size > BLOB_BYTES_MAX:
            raise RepositoryRefused(f"The file {blob} has {size:,} bytes; at most {BLOB_BYTES_MAX:,} are read.")
        return self._demand("cat-file", "blob", blob).stdout

    def _demand(self, *arguments: str) -> Ended:
        ended = self._run(*arguments)
        if ended.code != 0:
            raise RepositoryRefused(f"git could not read {self.path}: {ended.complaint() or arguments[0]}")
        return ended

    def _run(self, *arguments: str) -> Ended:
        argv = [self._git, "--no-pager", f"--git-dir={self._folder}", *inert_settings(), *arguments]
        return self._box.run(
            argv, folder=self._folder, seconds=GIT_SECONDS_MAX, reads=self._places, environment=self._environment
        )


def find_git() -> str:
    """Return the path of the git program; raises ToolMissing with the remedy."""
    found = shutil.which("git", path=SAFE_PATH) or shutil.which("git")
    if found is None:
        raise ToolMissing("git is not on this machine. Install it with the system's package manager.")
    return found


def inert_settings() -> list[str]:
    """Return the options of git's command line that switch off every program which a repository's configuration names."""
    return [part for name, value in _INERT for part in ("-c", f"{name}={value}")]


def git_environment() -> dict[str, str]:
    """Return the environment under which git reads no configuration of the machine and fetches from nowhere."""
    return {
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1", "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": "/dev/null", "GIT_INDEX_FILE": "/nonexistent/index", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0",
        # A list without any transport: a missing object cannot be fetched, so no `uploadpack` of the repository runs.
        "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent",
    }  # fmt: skip


def _git_folder(path: Path) -> Path:
    inner = path / ".git"
    if inner.is_file():
        line = inner.read_text(encoding="utf-8", errors="replace").strip()
        inner = path / line.removeprefix("gitdir:").strip()
    for candidate in (inner, path):
        if (candidate / "HEAD").is_file() and ((candidate / "objects").is_dir() or (candidate / "commondir").is_file()):
            return candidate.resolve()
    sentence = f"{path} is not a git repository." if path.is_dir() else f"There is no folder {path}."
    raise RepositoryRefused(sentence + " Give the top folder of a work tree or a bare repository.")


def _common_folder(folder: Path) -> tuple[Path, ...]:
    """Where the objects of a linked work tree are: in the repository that it belongs to."""
    named = folder / "commondir"
    if not named.is_file():
        return ()
    return ((folder / named.read_text(encoding="utf-8", errors="replace").strip()).resolve(),)


def _full(identity: str) -> str:
    if not FULL_ID.fullmatch(identity):
        raise RepositoryRefused(f"{identity!r:.100} is not a full object id; a branch name may move after the review.")
    return identity


def _path(raw: bytes) -> str:
    if len(raw) > PATH_BYTES_MAX:
        raise RepositoryRefused(f"A path in the repository has {len(raw):,} bytes; at most {PATH_BYTES_MAX:,} are read.")
    return raw.decode("utf-8", errors="surrogateescape")


def _entry(line: bytes) -> Entry:
    head, _, path = line.partition(b"\t")
    mode, _, blob = head.decode("ascii").split(" ")
    return Entry(mode, blob, _path(path))


def _touched(head: bytes, raw_path: bytes) -> Touched:
    old_mode, new_mode, old, new, status = head.decode("ascii").lstrip(":").split(" ")
    path = _path(raw_path)
    before = None if status == "A" else Entry(old_mode, old, path)
    after = None if status == "D" else Entry(new_mode, new, path)
    return Touched(status, before, after)

