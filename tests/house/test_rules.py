"""Each rule fires where it should and is silent where it should."""

from __future__ import annotations

import pytest

from tests.house import layers, rules
from tests.house.rules import SourceFile
from tests.house.tree import python_files

CORE = "core/tenuto/gate.py"


def core(text: str, path: str = CORE) -> SourceFile:
    return SourceFile(path, text)


def test_a_file_may_have_400_lines_and_not_401() -> None:
    assert not list(rules.file_length(core("x = 1\n" * 400)))
    (found,) = rules.file_length(core("x = 1\n" * 401))
    assert (found.key, found.size) == (CORE, 401)
    assert str(found).startswith(f"{CORE}:1: 401 lines")


def test_a_function_may_have_60_lines_and_not_61() -> None:
    assert not list(rules.function_length(core("def f():\n" + "    x = 1\n" * 59)))
    (found,) = rules.function_length(core("class A:\n    async def f(self):\n" + "        x = 1\n" * 60))
    assert (found.key, found.size) == (f"{CORE}::f", 61)


def test_six_parameters_by_position_are_the_most() -> None:
    assert not list(rules.positional_parameters(core("def f(a, b, c, d, e, f, *, g, h): ...")))
    assert not list(rules.positional_parameters(core("class A:\n    def f(self, a, b, c, d, e, f): ...")))
    assert list(rules.positional_parameters(core("def f(a, b, c, d, e, f, g): ...")))
    assert not list(rules.positional_parameters(core("def f(a, b, c, d, e, f, g): ...", "core/tenuto/cli/up.py")))


@pytest.mark.parametrize("path", ["core/tenuto/utils.py", "core/tenuto/helpers/x.py", "core/tenuto/base.py"])
def test_a_vague_module_is_told(path: str) -> None:
    assert list(rules.vague_names(core("", path)))


@pytest.mark.parametrize("name", ["QueueManager", "EventHandler", "Service", "ModelBase", "StreamProcessor"])
def test_a_vague_class_is_told(name: str) -> None:
    assert list(rules.vague_names(core(f"class {name}: ...")))


@pytest.mark.parametrize("name", ["Ledger", "Database", "ServiceProcess", "Recorder"])
def test_a_plain_noun_is_fine(name: str) -> None:
    assert not list(rules.vague_names(core(f"class {name}: ...")))


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()",
        "import time as t\nt.time()",
        "from time import time\ntime()",
        "from time import time as now\nx = now",
        "from datetime import datetime, UTC\ndatetime.now(UTC)",
        "import datetime\ndatetime.datetime.utcnow()",
        "from datetime import date\ndate.today()",
        "import uuid\nuuid.uuid4()",
        "from uuid import uuid4\nx = dict(id=uuid4)",
        "import os\nos.environ['X']",
        "from os import environ, getenv\nprint(environ)",
        "import os\nos.getenv('X')",
        "import random\nrandom.random()",
        "def f():\n    import time\n    return time.time_ns()",
    ],
)
def test_asking_the_machine_is_told_with_the_remedy(text: str) -> None:
    (found,) = rules.banned_calls(core(text))
    assert "banned here: " in found.sentence
    assert found.key.startswith(f"{CORE}::")


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.monotonic(); time.sleep(1)",
        "def f(clock):\n    return clock.now()",
        "from datetime import datetime\ndatetime.fromtimestamp(0)",
        "import secrets\nsecrets.token_bytes(4)",
        "import random\nrandom.Random(7).random()",
        "import os\nos.close(3)",
        "time = datetime = None\ntime.time(); datetime.now()",
    ],
)
def test_waiting_and_what_was_handed_in_are_fine(text: str) -> None:
    assert not list(rules.banned_calls(core(text)))


@pytest.mark.parametrize(
    "clause",
    ["except Exception: pass", "except BaseException as error: log(error)", "except: pass", "except (OSError, Exception): pass",
     "except Exception as error:\n    if error.args: raise", "except Exception:\n    return\n    raise"],
)  # fmt: skip
def test_catching_everything_and_going_on_is_told(clause: str) -> None:
    body = f"try:\n    f()\n{clause}"
    assert list(rules.broad_excepts(core("def g():\n" + "\n".join("    " + line for line in body.splitlines()))))


@pytest.mark.parametrize(
    "clause", ["except OSError: pass", "except BaseException:\n    tidy()\n    raise", "except (Busy, Refused): pass"]
)
def test_catching_what_is_known_and_raising_again_is_fine(clause: str) -> None:
    assert not list(rules.broad_excepts(core(f"try:\n    f()\n{clause}")))


def test_a_module_without_a_sentence_is_told() -> None:
    assert list(rules.module_docstring(core("x = 1")))
    assert list(rules.module_docstring(core('"""tools"""')))
    assert not list(rules.module_docstring(core('"""What this is for."""')))
    assert not list(rules.module_docstring(core('"""What this is for.\n\nAnd more"""')))


@pytest.mark.parametrize(
    "call", ["store.append(batch)", "self._store.append(batch)", "parts.ledger.append(x)", "_ledger.append(x)"]
)
def test_writing_to_the_ledger_is_told(call: str) -> None:
    assert list(rules.ledger_appends(core(call)))


@pytest.mark.parametrize("call", ["names.append(x)", "self._stores.append(x)", "ledger.read(0, 1)", "f().append(1)"])
def test_appending_to_a_list_is_fine(call: str) -> None:
    assert not list(rules.ledger_appends(core(call)))


def test_a_verdict_of_verify_is_told() -> None:
    assert list(rules.verify_returns(core("def verify_it(x) -> bool: ...")))
    assert list(rules.verify_returns(core("class A:\n    def _verify(self) -> bool: ...")))
    assert not list(rules.verify_returns(core("def verify_it(x) -> None: ...")))
    assert not list(rules.verify_returns(core("def is_verified(x) -> bool: ...")))


def test_a_hidden_name_is_told() -> None:
    assert list(rules.mangled_names(core("self.__x = 1")))
    assert not list(rules.mangled_names(core("self._x = x.__doc__")))


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX"])
def test_a_leftover_is_told(word: str) -> None:
    assert list(rules.leftovers("docs/x.md", f"later\n# {word}: do it"))
    assert not list(rules.leftovers("docs/x.md", f"{word}S and {word.lower()}"))


@pytest.mark.parametrize(
    "line",
    ["open('/" + "work/main/x')", "cd /" + "root/", "/home/ann/x", "https://pypi" + ".org/simple", "/Users/ann"],
)
def test_a_machine_is_told(line: str) -> None:
    assert list(rules.machine_paths("x.py", line))


@pytest.mark.parametrize(
    "line", ["/workspace", "at the root/trunk", "https://example.org/" + "work/x", "a/root", "~/work", "/tmp/never"]
)
def test_other_paths_are_fine(line: str) -> None:
    assert not list(rules.machine_paths("x.py", line))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (CORE, "import tenuto_agents"),
        (CORE, "def f():\n    from tenuto_projections.runs import Runs"),
        ("agents/tenuto_agents/agent.py", "from tenuto_projections import runs"),
        ("projections/tenuto_projections/runs.py", "from tenuto_dashboard.app import x"),
        ("dashboard/tenuto_dashboard/app.py", "from tenuto_agents import agent"),
        (CORE, "from tests.doubles import StoppedClock"),
        ("migrations/env.py", "import tenuto"),
    ],
)
def test_an_import_against_the_packages_direction_is_told(path: str, text: str) -> None:
    assert list(layers.package_direction(core(text, path)))


def test_imports_along_the_packages_direction_are_fine() -> None:
    for path in (
        "agents/tenuto_agents/agent.py",
        "projections/tenuto_projections/runs.py",
        "dashboard/tenuto_dashboard/app.py",
    ):
        assert not list(
            layers.package_direction(core("import json\nfrom tenuto.gate import Gate\nfrom . import text", path))
        )
    assert not list(layers.package_direction(core("import tenuto_projections", "dashboard/tenuto_dashboard/app.py")))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("core/tenuto/errors.py", "from . import keyring"),
        ("core/tenuto/events/tool.py", "from ..header import encode"),
        ("core/tenuto/log/merkle.py", "from ..verification import Verified"),
        ("core/tenuto/verification.py", "from tenuto.gate import Gate"),
        ("core/tenuto/ingest.py", "from .adapters.postgres import PostgresLedger"),
        ("core/tenuto/gate.py", "def f():\n    from .wiring import open_gate"),
        ("core/tenuto/adapters/kafka.py", "import tenuto.wiring"),
    ],
)
def test_an_import_upwards_inside_core_is_told(path: str, text: str) -> None:
    assert list(layers.layer_direction(core(text, path)))


def test_imports_downwards_and_sideways_are_fine() -> None:
    assert not list(layers.layer_direction(core("from .policy import x\nfrom . import recorder\nfrom ..x import y")))
    assert not list(layers.layer_direction(core("from ..wiring import x\nfrom . import up", "core/tenuto/cli/core.py")))
    assert not list(layers.layer_direction(core("from .anything import x", "core/tenuto/__init__.py")))


def test_a_module_without_a_layer_is_told() -> None:
    (found,) = layers.layer_direction(core("", "core/tenuto/novelty.py"))
    assert "has no layer" in found.sentence


def test_every_layer_is_needed() -> None:
    present = {file.module.split(".")[1] for file in python_files(("core",)) if "." in file.module}
    idle = sorted(layers.RANKS.keys() - present)
    assert not idle, f"No such modules any more; take them from tests/house/layers.py: {idle}"


def test_a_circle_of_imports_is_found_and_a_lazy_one_is_none() -> None:
    one = core("from .b import x", "core/tenuto/a.py")
    two = core("from . import a", "core/tenuto/b.py")
    lazy = core("def f():\n    from . import a", "core/tenuto/b.py")
    assert layers.cycles([one, two]) == [("tenuto.a", "tenuto.b")]
    assert layers.cycles([one, lazy]) == []


def test_modules_are_named_as_they_are_imported() -> None:
    names = {
        path: SourceFile(path, "").module
        for path in ("core/tenuto/log/__init__.py", "core/tenuto/log/note.py", "tests/house/rules.py")
    }
    assert list(names.values()) == ["tenuto.log", "tenuto.log.note", "tests.house.rules"]
    assert SourceFile("core/tenuto/log/__init__.py", "").package == "tenuto.log"
    assert SourceFile("core/tenuto/log/note.py", "").package == "tenuto.log"
