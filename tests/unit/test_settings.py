"""A setting is known, valid and said once, or the process does not start."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from tenuto.errors import NotConfigured
from tenuto.settings import Settings, load_settings


def test_without_any_variable_the_defaults_hold() -> None:
    settings = load_settings({})
    assert settings.home == Path(".tenuto")
    assert settings.database_url is None
    assert settings.kafka is None


def test_variables_are_read_and_converted() -> None:
    settings = load_settings({"TENUTO_HOME": "elsewhere", "TENUTO_PARTITIONS": "8", "PATH": "/bin"})
    assert (settings.home, settings.partitions) == (Path("elsewhere"), 8)


def test_a_misspelt_variable_is_an_error_that_lists_the_right_ones() -> None:
    with pytest.raises(NotConfigured, match="Unknown setting TENUTO_PARTITION") as caught:
        load_settings({"TENUTO_PARTITION": "8"})
    assert "TENUTO_PARTITIONS" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PARTITIONS", "0"), ("PARTITIONS", "many"), ("GAP_SECONDS", "0"), ("LOG_LEVEL", "loud"), ("CONSOLE_PORT", "65536"),
     ("BATCH_EVENTS", "2001")],
)  # fmt: skip
def test_an_invalid_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(NotConfigured, match=f"TENUTO_{name} is not valid"):
        load_settings({f"TENUTO_{name}": value})


def test_the_brokers_of_the_operator_are_taken_unless_ours_are_named() -> None:
    assert load_settings({"KAFKA_BOOTSTRAP_SERVERS": "a:9092"}).kafka == "a:9092"
    assert load_settings({"KAFKA_BOOTSTRAP_SERVERS": "a:9092", "TENUTO_KAFKA": "b:9092"}).kafka == "b:9092"


def test_what_the_command_line_says_wins_and_none_says_nothing() -> None:
    environment = {"TENUTO_PARTITIONS": "8"}
    assert load_settings(environment, partitions=2).partitions == 2
    assert load_settings(environment, partitions=None).partitions == 8


def test_the_environment_of_the_process_is_read_when_none_is_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENUTO_REVIEWER", "carol")
    assert load_settings().reviewer == "carol"


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError):
        load_settings({}).partitions = 9  # type: ignore[misc]


def test_an_override_that_is_no_setting_is_refused() -> None:
    with pytest.raises(NotConfigured, match="TENUTO_PARTITION"):
        load_settings({}, partition=1)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_its_sentence(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description, f"{name} needs a description; it becomes its line in docs/settings.md."
    assert description.endswith(".")


def test_everything_of_a_home_lies_inside_it() -> None:
    settings = load_settings({"TENUTO_HOME": "somewhere"})
    folders = (settings.keys, settings.tiles, settings.spool, settings.state)
    assert all(folder.parent == Path("somewhere") for folder in folders)
    assert len(set(folders)) == len(folders)
