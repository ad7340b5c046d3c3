"""`tenuto knowledge`: sign policies and runbooks and put them where the reviewer looks them up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tenuto.cli.panels import Panel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenuto.keyring import Keyring
    from tenuto.settings import Settings

    from .knowledge import KnowledgeShelf


def add_commands(app: typer.Typer) -> None:
    """Add the group `knowledge`."""
    group = typer.Typer(help="Policies and runbooks that agents look up, signed.", no_args_is_help=True)
    group.command("add")(add)
    group.command("search")(search)
    app.add_typer(group, name="knowledge", rich_help_panel=Panel.AGENTS)


def add(
    documents: Annotated[list[Path], typer.Argument(help="Markdown files; each heading becomes a section.")],
    author: Annotated[str, typer.Option(help="Who signs: an author with the role administrator, or root.")] = "root",
) -> None:
    """Sign the sections of documents and keep them, in the place of older ones of the same section."""
    from tenuto.adapters.keyfiles import load_signer
    from tenuto.settings import load_settings
    from tenuto.wiring import database_url

    from .knowledge import sign_chunk, split_document, verify_chunk

    settings = load_settings()
    signer, shelf = load_signer(settings.keys, author), open_shelf(settings, lambda: database_url(settings))
    keyring = _keyring(settings)
    for document in documents:
        sections = split_document(document.read_text(encoding="utf-8"))
        chunks = [sign_chunk(signer, document.name, section, body) for section, body in sections]
        for chunk in chunks:
            verify_chunk(chunk, keyring)  # what would not be retrieved is not kept either
        shelf.put(chunks)
        typer.echo(f"{document.name}: {len(chunks)} sections, signed by {author}.")


def search(question: Annotated[str, typer.Argument(help="What is looked for.")]) -> None:
    """Show what a reviewer would be given for a text, and what is there and not believed."""
    from tenuto.settings import load_settings

    from .text import visible_line

    found = open_shelf(load_settings()).search(question)
    for chunk in found.chunks:
        typer.echo(f"{chunk.digest[:12]} {visible_line(chunk.source)} {visible_line(chunk.section)} ({chunk.signer})")
    for chunk, why in found.refused:
        typer.echo(f"not believed: {visible_line(chunk.source)} {visible_line(chunk.section)}: {visible_line(why)}", err=True)


def open_shelf(settings: Settings, url: Callable[[], str] | None = None) -> KnowledgeShelf:
    """Return the shelf of a home, for reading unless `url` gives another way to the database."""
    from tenuto.wiring import role_url

    from .knowledge import KnowledgeShelf

    reader = lambda: role_url(settings, "tenuto_reader")  # noqa: E731 - the address is known when it is needed
    return KnowledgeShelf(url or reader, lambda: _keyring(settings))


def _keyring(settings: Settings) -> Keyring:
    from tenuto.cli.keys import current_keyring

    return current_keyring(settings)
