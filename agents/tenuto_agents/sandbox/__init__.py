"""Where everything of a pull request is parsed: a box without network, without write access, and under watch (M24-M26).

Parsers are programs with mistakes, and the pull request chooses what they read. So git, the comment stripper and the
analysers run in bubblewrap: own namespaces, an empty environment, no capabilities, one folder to read, sixteen megabytes
to write. Inside, a seccomp filter hands every new process, connection and mount to a watcher in the agent; the one program
that was meant to start is let through, everything else is denied and reported. Without its watcher the kernel fails these
calls, so nothing runs on unobserved.
"""

from __future__ import annotations

from .box import Box, Breach, Bubblewrap, OpenBox, SandboxMissing, open_box
from .watching import Sighting

__all__ = ["Box", "Breach", "Bubblewrap", "OpenBox", "SandboxMissing", "Sighting", "open_box"]
