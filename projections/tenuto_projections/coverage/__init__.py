"""Which controls are shown to work, from the ledger alone: the threat model's ids, and the newest evidence for each.

`evidence` folds events into what is known of each id, `judging` says what that is worth today, `model` is the read model for
the console, `commands` the command line. Nothing is written by hand, and nothing stays green: evidence has an age.
"""
