"""Whether an action is cleared: facts are signed events, the answer is a pure fold that anybody can recompute.

`fold` holds the numbered rules. What it rests on: `pieces` (what has to be seen), `coverage` (what was seen), `quorum`
(how many must agree), `roster` (who reviews, how much in an hour). On top of it: `desk` and `routing` (whose turn it is).
"""

from .fold import Approvals, NotGranted, Request, RuleResult, Standing, Vote

__all__ = ["Approvals", "NotGranted", "Request", "RuleResult", "Standing", "Vote"]
