"""The red team: attacks on the system as it runs, each of which says what it tried, what stopped it, and leaves evidence.

`scenario` says what an attack is, `ground` what it stands on, `exercise` how one is run and judged, `catalogue` which there
are. The attacks themselves are files by what they go for: `messages`, `reviews`, `published`, `states`,
`plans`, ...

An attack is never judged by its own word. It reports whether it reached its goal, and which events show what stopped it;
`exercise` looks these events up in the verified ledger. What no evidence names is not counted as held.
"""
