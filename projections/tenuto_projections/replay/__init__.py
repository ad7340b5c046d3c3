"""Replay: what happened, verified step by step, and the state as it was, made again by the code that made it.

`selection` (which events, as of when), `records` (how one is shown), `links` (what led to what, and what allowed it),
`state` (a run rebuilt in memory by the very projections that serve the console).
"""
