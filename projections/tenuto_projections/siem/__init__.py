"""The SIEM export: the verified log, event by event, in the words of the place where security people already look.

In reading order: `exporting` (one step of the export, and what never happens), `cursor` (how far it came, and in which
history), `sinks` and `syslog` (where it goes, and when it counts as there), `jsonl` and `ocsf` (how it is written).

An exported event stays verifiable: every line carries the signed header verbatim, its signature, position and leaf.
"""
