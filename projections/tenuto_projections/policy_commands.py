"""`tenuto policy ...`: is a bundle sound, does it answer as its cases say, what decided then, what would it change?

`check` and `test` need no ledger. `explain` and `diff` read the verified ledger and put its questions again. Exit codes:
0 fine, 1 a case fails, a rule is not tested, the bundles differ or nothing was found, 2 wrong usage or a policy that
cannot be used, 3 the log is not what it claims to be.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tenuto.cli.panels import Panel
from tenuto.errors import NotConfigured

from . import commands as shared

if TYPE_CHECKING:
    from tenuto.policy import Policy
    from tenuto.policy.history import Asked

NOT_AS_HOPED = 1
Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]...", help="Cedar files or folders; the reference bundle by default.")
]
Source = Annotated[str, typer.Argument(help="Cedar files or folders, separated by commas, a rule of OPA, or `reference`.")]


def add_commands(app: typer.Typer) -> None:
    """Add the group `policy`."""
    policy = typer.Typer(help="Check, test, explain and compare the rules about tools.", no_args_is_help=True)
    for name, command in (("check", check), ("test", try_bundle), ("explain", explain), ("diff", diff)):
        policy.command(name)(command)
    app.add_typer(policy, name="policy", rich_help_panel=Panel.REVIEW)


def check(files: Files = None) -> None:
    """Load a bundle as the gate would: rules parse, ask only what requests have, and let no stranger through."""
    from .policy_lines import bundle_lines, bundle_record
    from .replay.records import Output

    with shared._sentences():
        bundle = _bundle(files)
        Output().emit(bundle_record(bundle), bundle_lines(bundle))


def try_bundle(
    files: Files = None,
    cases: Annotated[
        list[Path] | None, typer.Option("--cases", help="TOML files of [[case]]; those of the reference by default.")
    ] = None,
) -> None:
    """Ask every case, then take each rule away in turn: a rule that no case would miss is a rule that nobody tests."""
    from tenuto.policy.cases import read_cases, try_cases
    from tenuto.policy.reference import REFERENCE_CASES

    from .policy_lines import trial_lines, trial_record
    from .replay.records import Output

    with shared._sentences():
        if files and not cases:
            raise NotConfigured("Name the cases of this bundle: --cases FILE. How they look: docs/how-to/add-a-policy.md.")
        bundle = _bundle(files)
        trial = try_cases(bundle, read_cases(cases or [REFERENCE_CASES]))
        Output().emit(trial_record(trial), trial_lines(trial))
    if trial.failed or trial.unpinned:
        raise typer.Exit(NOT_AS_HOPED)


def explain(
    name: Annotated[str, typer.Argument(metavar="CALL", help="A call, or the position or id of its policy.decided.")],
    by: Annotated[str, typer.Option(help="The policy to put the question to again, as in `diff`.")] = "configured",
) -> None:
    """Show what policy was asked about a call, what it said, and by which rules; and ask again."""
    from .policy_lines import explained, explained_lines
    from .replay.links import NothingFound
    from .replay.records import Output

    with shared._sentences():
        policy = _policy(by)
        for asked in _history():
            if name in (asked.decided.call, str(asked.position), str(asked.decided.id)):
                break
        else:
            raise NothingFound(f"Policy decided about nothing called {name}.")
        record = explained(asked, policy, _rules_of(policy))
        Output().emit(record, explained_lines(record))


def diff(
    new: Source,
    old: Annotated[str, typer.Option(help="What to compare with, in the same form.")] = "configured",
    since: Annotated[int, typer.Option(help="Only decisions from this position on.")] = 0,
) -> None:
    """Put every recorded question to two bundles and show where they differ; 0 when they never do."""
    from tenuto.policy.history import compare

    from .policy_lines import change_line, change_record, total_line
    from .replay.records import Output

    with shared._sentences():
        before, after = _policy(old), _policy(new)
        asked = [one for one in _history() if one.position >= since]
        changes, output = list(compare(asked, before, after)), Output()
        for change in changes:
            output.emit(change_record(change), [change_line(change)])
        skipped = sum(one.request is None for one in asked)
        if output.tty:
            output.emit({}, [total_line(len(asked), skipped, changes)])
        elif skipped:
            shared._say(f"{skipped} of {len(asked)} questions cannot be put again; their payloads are not there.")
    if changes:
        raise typer.Exit(NOT_AS_HOPED)


def _history() -> list[Asked]:
    """Every question on record; returned only after the root over all events was compared with the checkpoint."""
    from tenuto.policy.history import questions

    follower, _ = shared._walk(shared._settings())
    return list(questions(verified for page in follower.pages() for verified in page))


def _bundle(files: list[Path] | None) -> Any:
    from tenuto.policy.bundle import read_bundle
    from tenuto.policy.cedar import CedarPolicy
    from tenuto.policy.reference import REFERENCE_FILE

    bundle = read_bundle(files or [REFERENCE_FILE])
    CedarPolicy(bundle)
    return bundle


def _policy(source: str) -> Policy:
    from tenuto.wiring import open_policy

    if source == "configured":
        return open_policy(shared._settings().policy)
    return open_policy(None if source == "reference" else source)


def _rules_of(policy: Policy) -> dict[str, Any]:
    """The rules by id where they are at hand; OPA keeps its own."""
    from tenuto.policy.cedar import CedarPolicy

    return policy.rules if isinstance(policy, CedarPolicy) else {}
