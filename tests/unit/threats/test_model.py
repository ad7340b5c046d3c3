"""The threat model ships whole: every id that the mission names, and nothing that points nowhere."""

from __future__ import annotations

from tenuto.threats import load_threat_model


def test_every_id_is_there() -> None:
    model = load_threat_model()
    assert list(model.threats) == [f"T{number}" for number in range(1, 9)]
    assert list(model.mitigations) == [f"M{number}" for number in range(1, 33)]
    assert list(model.rules) == [f"R{number}" for number in range(1, 6)]
    assert list(model.chains) == [f"C{number}" for number in range(1, 4)]


def test_every_threat_is_answered_by_a_preventive_and_a_detective_control() -> None:
    model = load_threat_model()
    for threat in model.threats:
        assert {"preventive", "detective"} <= {one.type for one in model.answering(threat)}, threat


def test_every_chain_meets_more_than_one_control_and_every_rule_one() -> None:
    model = load_threat_model()
    assert all(len(chain.by) >= 2 for chain in model.chains.values())
    assert all(rule.by for rule in model.rules.values())


def test_inherent_risk_is_severity_times_likelihood() -> None:
    threats = load_threat_model().threats
    assert (threats["T1"].inherent, threats["T8"].inherent) == (12, 3)
