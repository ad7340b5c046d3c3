"""Where a rule does not hold, and why. A size may only shrink; what no longer applies has to go from the list."""

from __future__ import annotations

from collections.abc import Mapping

# File or `file::function` -> its present size. These limits are a ratchet: lower the number whenever you can.
SIZES: Mapping[str, int] = {}

VAGUE_NAMES: Mapping[str, str] = {
    "core/tenuto/events/base.py": "what every event has in common; the word is the library's and the domain's",
    "agents/tenuto_agents/artifact.py::Service": "the service that is deployed, as operators call it",
}

BROAD_EXCEPTS: Mapping[str, str] = {
    "agents/tenuto_agents/agent.py": "the outermost loop: a defect ends the process, after it is on record",
    "agents/tenuto_agents/attacks/requests.py": "the outermost loop of `tenuto attack serve`: one request's defect is on record and ends no other",
    "agents/tenuto_agents/sandbox/watching.py": "the outermost loop of the watcher: a defect ends the box that it watches",
}

# Folder, file or `file::name` -> why it may ask the machine itself.
ASKS_THE_MACHINE: Mapping[str, str] = {
    "core/tenuto/clock.py": "the clock and the ids that everybody else is handed",
    "core/tenuto/settings.py::os.environ": "the one place where the environment becomes settings",
    "core/tenuto/supervising.py::os.environ": "hands the environment on to the processes it starts",
    "core/tenuto/cli/": "the border to the person at the terminal",
    "core/tenuto/wiring.py": "chooses the real parts",
    "core/tenuto/embedded/": "starts foreign programs",
    "agents/tenuto_agents/sandbox/escapes.py::os.environ": "an attack that looks for tokens there",
    "dashboard/tenuto_dashboard/commands.py::os.environ": "hands the environment on to Streamlit",
}

LEDGER_APPENDS: Mapping[str, str] = {
    "core/tenuto/ingest.py": "the one door in",
    "core/tenuto/adapters/retained.py": "hands ingest's own batch on to the tables, with the archives behind them",
}

# They hold the words that the rules look for.
TEXTS = frozenset({"tests/house/rules.py", "tests/house/test_rules.py"})
