"""The agents' tools as MCP servers, and the agents' end of them.

A tool server is a process of its own that speaks MCP over its standard input and output. It holds what the tool needs and
the agent does not, it knows one agent, and it does nothing whose start it has not found on record itself
(`tenuto.admission`). The agent's end pins what a server offers, calls through the gate, and takes answers as data.
"""

from __future__ import annotations

from importlib.util import find_spec

from tenuto.errors import NotConfigured


def demand_sdk() -> None:
    """Raise NotConfigured, with the remedy, where the MCP SDK is not installed."""
    if find_spec("mcp") is None:
        raise NotConfigured("The agents' tools need the extra `agents`: pip install 'tenuto[agents]'.")
