"""The road as the watch knows it is the road that the agents walk."""

from __future__ import annotations

from pathlib import Path

from tenuto.clock import new_uuid7
from tenuto_agents import code_review, deployment, evidence, infrastructure, rollback
from tenuto_agents.code_review import CodeReview
from tenuto_agents.deployment import Deployment
from tenuto_agents.infrastructure import Infrastructure
from tenuto_agents.place import local_place
from tenuto_projections.anomalies.road import NEEDS, REVIEW, REVIEWED_TOOLS, REVIEWED_TOPICS, ROAD, Leg


def test_the_road_is_what_the_agents_take_as_their_duty() -> None:
    agents = (
        CodeReview(None, None, new_id=new_uuid7),  # type: ignore[arg-type]
        Infrastructure(terraform=None, state=Path("nowhere")),
        Deployment(lambda service: local_place(Path(service))),
    )
    legs = {
        topic: Leg(duty.sender, duty.role, agent.name) for agent in agents for topic, duty in agent.duties().items()
    }
    assert legs == ROAD


def test_topics_tools_and_names_are_those_of_the_agents() -> None:
    assert REVIEW == evidence.CODE_REVIEW
    assert {evidence.APPLY_TOOL, deployment.DEPLOY_TOOL, rollback.ROLLBACK_TOOL} == REVIEWED_TOOLS
    assert {code_review.TOPIC_VERDICT, infrastructure.TOPIC_APPLIED} == REVIEWED_TOPICS
    tools = (evidence.APPLY_TOOL, deployment.DEPLOY_TOOL, rollback.ROLLBACK_TOOL)
    steps = {f"start of {tool}" for tool in tools} | {f"message {t}" for t in ROAD}
    assert set(NEEDS) == steps
    assert NEEDS[f"start of {rollback.ROLLBACK_TOOL}"] == f"end of {deployment.DEPLOY_TOOL}"
    assert NEEDS[f"start of {evidence.APPLY_TOOL}"] == f"end of {evidence.PLAN_TOOL}"
