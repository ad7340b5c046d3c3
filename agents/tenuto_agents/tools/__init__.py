"""The agents' tools as MCP servers, and the agents' end of them.

A tool server is a process of its own that speaks MCP over its standard input and output. It holds what the tool needs and
the agent does not, it knows one agent, and it does nothing whose start it has not found on record itself
(`tenuto.admission`). The agent's end pins what a server offers, calls through the gate, and takes answers as data.
"""
