"""`tenuto demo`: one real pull request walks the whole road, on one machine, with nothing prepared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import NotConfigured
from ..settings import load_settings
from .panels import Panel
from .status import console_address
from .up import OPERATIONS, own_people, say, start_road

if TYPE_CHECKING:
    from datetime import datetime

    from ..following import Follower
    from ..registering import Enrolment
    from ..settings import Settings
    from ..supervising import Platform
    from ..verification import Verified

ORIGIN = "demo.tenuto.example/reference"
AGENTS = ("code-review", "infrastructure", "deployment")
REVIEWER, UNATTENDED = "demo-reviewer", "unattended-reviewer"
VOTES_ROOM = 4
"""So many votes a demonstration may need: two of its own, and some for what an interrupted one left open."""

SUBMIT_SECONDS_MAX = 60.0
RUN_SECONDS_MAX = 300.0
LOOK_SECONDS = 0.1
FAILED = 1
ASK_AGAIN_SECONDS, HEARD_SECONDS_MAX = 0.05, 10.0
"""How soon an interruption is tried again that the Kafka client would have caught, and when it is raised all the same."""


def add_commands(app: typer.Typer) -> None:
    """Add `demo`."""
    app.command("demo", rich_help_panel=Panel.START)(demo)


def demo(
    *,
    repo: Annotated[Path | None, typer.Option(help="A git repository; a sample one is made when left out.")] = None,
    base: Annotated[str, typer.Option(help="Revision that the change starts from.")] = "main",
    head: Annotated[str, typer.Option(help="Revision that holds the change.")] = "pr/metrics",
    unattended: Annotated[
        bool, typer.Option("--unattended", help="Let an insecure demo reviewer approve, then end with a verdict.")
    ] = False,
    attacks: Annotated[bool, typer.Option(help="Let the red team attack the system once the run has ended.")] = True,
    port: Annotated[int | None, typer.Option(help="Port of the console; TENUTO_CONSOLE_PORT or 8501 by default.")] = None,
) -> None:
    """Take a pull request to production, attack, and verify.

    The three agents take it there, the red team attacks the system, and what is on record is verified.
    """
    from ..embedded.child import demand_free
    from ..supervising import Platform

    settings = load_settings(
        console_port=port, reviewer=None if "TENUTO_REVIEWER" in os.environ else REVIEWER,
        sandbox=None if "TENUTO_SANDBOX" in os.environ else "optional",
    )  # fmt: skip
    _demand_programs()
    if repo is not None:
        _demand_revisions(repo, base, head)
    demand_free(settings.console_port, "approval console (choose another with --port)")
    code = FAILED
    with _interruptible():
        with Platform(settings, say, origin=ORIGIN) as platform:
            try:
                code = _walk_the_road(platform, repo, base, head, unattended=unattended, attacks=attacks)
            finally:
                _call(platform.settings, "stop-services")
        say("All parts are stopped. What was recorded is kept in " + str(platform.settings.home) + ".")
    raise typer.Exit(code)


def _walk_the_road(
    platform: Platform, repo: Path | None, base: str, head: str, *, unattended: bool, attacks: bool
) -> int:
    from ..clock import SystemClock
    from .progress import Progress

    history = _follower(platform.settings).catch_up() if unattended else []
    stand_in = free_stand_in(history, SystemClock().now()) if unattended else None
    new = start_road(platform, [*own_people(), *_people(stand_in)])
    if new:
        say(f"The root registered {', '.join(new)}.")
    settings = platform.settings
    platform.start("console", "console")
    for agent in AGENTS:
        platform.start(agent, "agent", agent, *(["--adopt-base"] if agent == "infrastructure" and repo is None else []))
    say(f"The approval console is at {console_address(settings)}")
    progress = Progress(platform, _follower(settings, payloads=True), unattended=stand_in)
    repository = repo or _sample(settings)
    run = _submit(platform, repository, base, head)
    if unattended:
        say("UNATTENDED: an insecure demo reviewer has each piece open for its least time and approves whatever is asked.")
        say("Nobody looks; every such event is marked.")
    else:
        say(f"Approve or deny what the agents ask at {console_address(settings)}/inbox")
        _open_browser(settings)
    outcome = progress.follow(run, seconds=RUN_SECONDS_MAX if unattended else None)
    attacked = _attack(platform) if attacks else 0
    verified = _call(settings, "verify")
    _say_what_next(run)
    if not unattended:
        say(f"The console stays at {console_address(settings)} until Ctrl-C.")
        progress.idle()
    return verified or attacked or (0 if outcome == "succeeded" else FAILED)


def _people(stand_in: str | None) -> list[Enrolment]:
    from ..registering import Enrolment
    from .progress import STAND_IN_CONSOLE

    people = [Enrolment(agent, "agent", "platform-team") for agent in AGENTS]
    people += [Enrolment("pipeline", "pipeline", "platform-team"), Enrolment(REVIEWER, "reviewer", REVIEWER, insecure_demo=True)]
    if stand_in is not None:
        people.append(Enrolment(stand_in, "reviewer", stand_in, insecure_demo=True))
        people.append(Enrolment(STAND_IN_CONSOLE, "console", OPERATIONS, insecure_demo=True))
    return people


def free_stand_in(events: Iterable[Verified], now: datetime) -> str:
    """Name the insecure reviewer of this demonstration: rule 4 holds for it too, so a busy one is relieved by the next."""
    from ..approvals.roster import CAP_WINDOW, DECISIONS_PER_HOUR_MAX
    from ..events import ApprovalSigned

    since = now - CAP_WINDOW
    signed = [one.event.author for one in events if isinstance(one.event, ApprovalSigned) and one.recorded_at > since]
    number = 1
    while signed.count(name := UNATTENDED if number == 1 else f"{UNATTENDED}-{number}") > DECISIONS_PER_HOUR_MAX - VOTES_ROOM:
        number += 1
    return name


def _follower(settings: Settings, *, payloads: bool = False) -> Follower:
    from ..wiring import open_follower

    return open_follower(settings, payloads=payloads)


def _demand_programs() -> None:
    if shutil.which("git") is None:
        raise NotConfigured("The demonstration needs git. Install it, then try again.")


def _demand_revisions(repo: Path, base: str, head: str) -> None:
    """Raise NotConfigured before anything starts when the pull request cannot be made of this repository."""
    if not repo.is_dir():
        raise NotConfigured(f"There is no repository at {repo}. Name the top folder of a git work tree with --repo.")
    if not _git_finds(repo, "--git-dir"):
        raise NotConfigured(f"{repo} is not a git repository. Name the top folder of a git work tree with --repo.")
    for option, revision in (("--base", base), ("--head", head)):
        if not _git_finds(repo, "--verify", "--end-of-options", revision + "^{commit}"):
            raise NotConfigured(f"There is no commit {revision!r} in {repo}. Name another with {option}.")


def _git_finds(repo: Path, *wanted: str) -> bool:
    command = ["git", "-C", str(repo), "rev-parse", "--quiet", *wanted]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _sample(settings: Settings) -> Path:
    path = settings.home / "sample" / "shop"
    if not (path / ".git").exists() and _call(settings, "sample", str(path), quiet=True) != 0:
        raise NotConfigured(f"The sample repository could not be made at {path}; `tenuto sample {path}` says why.")
    return path


def _submit(platform: Platform, repository: Path, base: str, head: str) -> str:
    """Submit the pull request and return its run; raises PartFailed as soon as a part is gone that it would wait for."""
    from ..embedded import PartFailed

    settings = platform.settings
    command = [sys.executable, "-m", "tenuto", "submit", "--repo", str(repository), "--base", base, "--head", head]
    deadline = time.monotonic() + SUBMIT_SECONDS_MAX
    with subprocess.Popen(
        command, env=_environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as submitting:
        try:
            while submitting.poll() is None:
                platform.demand_running()
                if time.monotonic() > deadline:
                    raise PartFailed(f"The pull request was not taken within {SUBMIT_SECONDS_MAX:.0f} s.")
                time.sleep(LOOK_SECONDS)
        finally:
            submitting.kill()
        printed, said = submitting.communicate()
    if submitting.returncode != 0:
        raise NotConfigured(f"The pull request was not submitted. {said.strip().removeprefix('tenuto: ')}")
    run = printed.strip().splitlines()[-1]
    say(f"Submitted {head} against {base} of {repository} as the run {run}.")
    return run


def _attack(platform: Platform) -> int:
    """Let the red team try everything that it has; afterwards it waits for what people ask for on the console."""
    settings = platform.settings
    say("Now the attacks. Each says what it tried and which control held; the evidence is in the ledger.")
    attacked = _call(settings, "attack", "run")
    say(f"What that shows of every control: `tenuto coverage`, and {console_address(settings)}/coverage")
    platform.start("red-team", "attack", "serve")
    return attacked


def _call(settings: Settings, *arguments: str, quiet: bool = False) -> int:
    command = [sys.executable, "-m", "tenuto", *arguments]
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, env=_environment(settings), stdout=output, check=False).returncode


def _environment(settings: Settings) -> dict[str, str]:
    from ..supervising import environment

    return dict(environment(settings))


def _say_what_next(run: str) -> None:
    program = Path(sys.argv[0])
    name = os.path.relpath(program) if program.name == "tenuto" else "tenuto"
    say("What you can do with it now, also after this program has ended:")
    commands = (
        (f"{name} replay {run}", "replay the run, each step verified"),
        (f"{name} verify", "verify the whole log again"),
        (f"{name} log --run {run}", "list its events"),
        (f"{name} export --format ocsf --to events.jsonl", "export for a SIEM"),
    )
    width = max(len(command) for command, _ in commands)
    for command, what in commands:
        say(f"  {command:{width}}  {what}")


def _open_browser(settings: Settings) -> None:
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin":
        import webbrowser

        webbrowser.open(console_address(settings))


def swallows(frame: FrameType | None) -> bool:
    """Whether the Kafka client is at work above this frame: its loop catches what is raised in it, also an interruption."""
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == "kafka":
            return True
        frame = frame.f_back
    return False


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn SIGTERM into the same orderly end as Ctrl-C, and say that nothing was lost."""
    import signal

    asked: list[float] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        asked.append(time.monotonic())
        if swallows(frame) and asked[-1] - asked[0] < HEARD_SECONDS_MAX:
            signal.setitimer(signal.ITIMER_REAL, ASK_AGAIN_SECONDS)
            return
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, interrupt)
    started = time.monotonic()
    try:
        yield
    except KeyboardInterrupt:
        say(f"Stopped after {time.monotonic() - started:.0f} s. What was recorded is kept; `make demo` goes on with it.")
        raise typer.Exit(130) from None
