"""What a call of the object storage counts as."""

import pytest

from pipelines.storage_metrics import outcome_of


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (206, "ok"), (404, "missing"), (403, "denied"), (412, "refused"), (500, "failed"), (503, "failed")],
)
def test_a_missing_object_and_a_missing_right_are_told_from_a_refused_call(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome
