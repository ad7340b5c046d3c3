"""Pull requests from GitHub: a webhook becomes a submission by commit id, and the verdict goes back as a review.

A webhook is a claim by whoever holds the shared secret, and no more than a reason to look: what is reviewed is read from
the mirror by its full commit id. Steps of the reception, in this order: size, signature, replay, content.
"""

from __future__ import annotations
