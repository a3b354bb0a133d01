"""Counts the calls of an S3 client, where a Ray process makes them."""

from __future__ import annotations

from functools import cache
from typing import Any

from ray.util.metrics import Counter


@cache
def _calls() -> Counter:
    return Counter(
        "labelworks_s3_calls",
        "Calls of the object storage, each try counted. A process that ends may take its last ten seconds with it.",
        tag_keys=("operation", "outcome"),
    )


def count_calls(client: Any) -> None:
    """Have the botocore client ``client`` count its calls from now on. Uncounted outside of Ray."""
    client.meta.events.register("after-call.s3", _answered)
    client.meta.events.register("after-call-error.s3", _unanswered)


def outcome_of(status: int) -> str:
    """``ok``, ``missing`` (404, which asking for what may not be there often is), ``denied`` (401 and 403: a right is
    missing), ``refused`` (other 4xx: an object that has changed, most often) or ``failed`` (5xx).
    """
    if status == 404:
        return "missing"
    if status in (401, 403):
        return "denied"
    return "failed" if status >= 500 else "refused" if status >= 400 else "ok"


def _answered(http_response: Any, model: Any, **_: Any) -> None:
    _calls().inc(1, {"operation": model.name, "outcome": outcome_of(http_response.status_code)})


def _unanswered(event_name: str, **_: Any) -> None:
    _calls().inc(1, {"operation": event_name.rsplit(".", 1)[-1], "outcome": "unanswered"})
