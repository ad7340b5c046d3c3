"""Tenuto holds AI agents to account: every decision, tool call and approval on a signed, verifiable record.

The road of one event, in the order in which to read it:

 1. `ledger`        what is in the ledger, and what never happens (read this first)
 2. `events`        the closed vocabulary; `header` and `envelope` are its bytes, `signing` and `payload` their protection
 3. `recorder`      the author's door: build, commit, sign, keep until the receipt comes
 4. `ingest`        the one door in: decode, verify, append
 5. `sealing`       the log's own hand: checkpoints, tiles, witnesses (`log`)
 6. `verification`  the nine numbered steps; `following` is the one door out that walks them
 7. `delivery`      receipts and messages to the inboxes, each with its proof; `mailbox` is the other end
 8. `approvals`     whether an approval counts, as a pure fold
 9. `gate`          what may happen: policy, people, one use, start on record, and only then the tool
10. `wiring`        the one place that chooses real parts; `cli` calls it
"""
