"""Anomaly detection on what agents do and say to each other (M29): verified events in, findings with evidence out.

Reading order: `finding` (what is found, the closed vocabulary of rules), `road` (the way messages should take),
`history` (what the rules remember), the rules themselves (`sources`, `order`, `reviews`, `refusals`, `pace`) and
`rules`, which applies them; `features` and `model` (what no rule names); `watch` (how a finding becomes a signed event,
once).
"""
