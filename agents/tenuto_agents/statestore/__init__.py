"""Our store of infrastructure state: Terraform's HTTP protocol in front, signed events behind, nothing in clear on the disk.

Reading order: `versions` (what is kept, and what a new version must be), `envelopes` and `keyports` (how it is kept secret),
`credentials` (who may come, and the second factor of people), `door` (one request from its credentials to its event),
`protocol` (the words of HTTP for it), `visiting` (a client of ours).
"""
