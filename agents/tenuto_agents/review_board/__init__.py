"""Review requests from Review Board: a diff that people discuss becomes commits in a mirror, and the verdict goes back.

Review Board signs its webhooks with HMAC-SHA1, so none is taken: its API is asked, over TLS and with a token. What is reviewed
is the published diff on the commit it was made from, as one commit of ours; who uploads another diff is reviewed anew.
"""

from __future__ import annotations
