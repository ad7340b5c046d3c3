"""Whether an action is cleared: facts are signed events, the answer is a pure fold that anybody can recompute."""

from .fold import Approvals, NotGranted, Request, RuleResult, Standing, Vote

__all__ = ["Approvals", "NotGranted", "Request", "RuleResult", "Standing", "Vote"]
