"""Telling people that the console waits for them: a reader of the ledger that sends letters and can do nothing else.

`telling` folds the ledger into notices, `contacts` says whom they reach and how, `outbox` remembers what was told, `pacing` keeps
anybody from being flooded, `notifying` does one step of it all. A notice opens a page of the console. It holds no link that acts
and no token, so whoever gets hold of one has an address and nothing more.
"""
