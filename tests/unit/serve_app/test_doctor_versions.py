"""What `labelworks doctor` says of nodes that have one engine in several versions."""

from __future__ import annotations

from serve_app.doctor.versions import compare_versions


def test_nodes_that_would_answer_otherwise_are_named_by_what_they_share() -> None:
    finding = compare_versions("minilm", {"c": "new", "a": "old", "b": "new"})

    assert not finding.ok
    assert finding.check == "versions of minilm"
    assert finding.found == "not the same on all nodes: a | b, c"
    assert "`ray up`" in finding.advice


def test_nodes_that_answer_alike_need_nothing() -> None:
    finding = compare_versions("minilm", {"a": "new", "b": "new"})

    assert finding.ok
    assert finding.found == "the same on 2 nodes"
