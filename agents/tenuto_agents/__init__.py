"""The reference system: three agents that take a pull request to production, every step of them on the road.

Reading order: `agent` (the loop and what a task may do), `code_review`, `infrastructure`, `deployment`; then the parts they
use: `change` and `git` (reading a pull request), `prompt` and `model` (asking), `analysis` (checking the answer),
`terraform` and `plan` (what would change), `artifact` and `target` (what runs), `evidence` (what the deployment proves for
itself before it acts).

All of it is written for a pull request whose author is an attacker and for a model that obeys him: nothing of the
repository is executed before a person approved it, and no verdict of a model is enough for anything.
"""

SOFTWARE = "tenuto-agents/0.1.0"
"""What `session.opened` of these agents names."""
