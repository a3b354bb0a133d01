"""Downloads over connections that break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelworks import Labelworks
from labelworks.classified import read_results
from labelworks.errors import APIConnectionError, ResultsChangedError, StorageError
from tests.unit.labelworks.conftest import Perform
from tests.unit.labelworks.fake_service import FakeService

LINES = [{"id": number, "label": "a", "confidence": 0.5, "tokens": number} for number in range(2000)]
RESULTS = b"".join(json.dumps(line).encode() + b"\n" for line in LINES)


def ranges_asked_for(service: FakeService) -> list[str | None]:
    return [seen.headers["Range"] for seen in service.requests_to("GET /storage")]


def test_a_broken_download_goes_on_where_it_broke(perform: Perform, service: FakeService, tmp_path: Path) -> None:
    job = service.add_completed(RESULTS)
    service.misbehave("GET /storage", cut_after=1000)
    service.misbehave("GET /storage", lose_answer=True)
    service.misbehave("GET /storage", cut_after=7)
    path = perform("batches.download")(job.job_id, tmp_path / "out.ndjson")
    assert path.read_bytes() == RESULTS
    assert ranges_asked_for(service) == [None, "bytes=1000-", "bytes=1000-", "bytes=1007-"]
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 20_000), max_size=6), honours_ranges=st.booleans())
def test_results_are_the_same_wherever_connections_break(
    client: Labelworks, service: FakeService, cuts: list[int], honours_ranges: bool
) -> None:
    service.misbehaviours.clear()
    service.honours_ranges = honours_ranges
    # Without ranges each attempt must get further than the one before.
    for cut in cuts if honours_ranges else sorted(set(cuts)):
        service.misbehave("GET /storage", cut_after=cut)
    job = service.add_completed(RESULTS)
    assert [result.id for result in client.batches.results(job.job_id)] == [line["id"] for line in LINES]


def test_an_id_of_more_digits_than_python_reads_is_a_string(
    perform: Perform, service: FakeService, tmp_path: Path
) -> None:
    line = b'{"id":%b,"custom_id":7,"label":"a","confidence":0.5,"tokens":1}\n' % (b"9" * 5000)
    job = service.add_completed(line)
    path = perform("batches.download")(job.job_id, tmp_path / "out.ndjson")
    for results in (perform("batches.results")(job.job_id), read_results(path)):
        assert [(result.id, result.custom_id) for result in results] == [("9" * 5000, 7)]


def test_retries_count_from_the_last_byte_that_arrived(
    client: Labelworks, service: FakeService, pauses: list[float]
) -> None:
    for _ in range(20):
        service.misbehave("GET /storage", cut_after=500)
    job = service.add_completed(RESULTS)
    assert b"".join(client.batches.raw_results(job.job_id)) == RESULTS
    assert max(pauses) <= 0.5


def test_a_download_without_a_byte_gives_up_after_the_retries(perform: Perform, service: FakeService) -> None:
    job = service.add_completed(RESULTS)
    for _ in range(4):
        service.misbehave("GET /storage", lose_answer=True)
    with pytest.raises(APIConnectionError):
        perform("batches.raw_results")(job.job_id)


def test_an_interrupted_download_is_taken_up_by_the_next_call(
    perform: Perform, service: FakeService, tmp_path: Path
) -> None:
    job = service.add_completed(RESULTS)
    service.misbehave("GET /storage", cut_after=3000)
    for _ in range(4):
        service.misbehave("GET /storage", lose_answer=True)
    with pytest.raises(APIConnectionError):
        perform("batches.download")(job.job_id, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out.0a1b-2.part"]
    service.misbehaviours.clear()
    perform("batches.download")(job.job_id, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == RESULTS
    assert ranges_asked_for(service)[-1] == "bytes=3000-"


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_a_part_of_results_that_were_replaced_is_not_used(
    perform: Perform, service: FakeService, tmp_path: Path, honours_if_range: bool
) -> None:
    service.honours_if_range = honours_if_range
    job = service.add_completed(RESULTS)
    (tmp_path / "out.0123.part").write_bytes(b"of another version")
    perform("batches.download")(job.job_id, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == RESULTS


def test_a_part_that_is_longer_than_the_results_is_not_used(
    perform: Perform, service: FakeService, tmp_path: Path
) -> None:
    job = service.add_completed(RESULTS)
    (tmp_path / "out.0a1b-2.part").write_bytes(RESULTS + b"more")
    perform("batches.download")(job.job_id, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == RESULTS


def test_a_stream_never_mixes_two_versions(client: Labelworks, service: FakeService) -> None:
    job = service.add_completed(RESULTS)
    service.misbehave("GET /storage", cut_after=1000)
    stream = client.batches.raw_results(job.job_id)
    next(stream)
    job.etag = '"new"'
    with pytest.raises(ResultsChangedError):
        list(stream)


def test_every_connection_uses_a_fresh_address(client: Labelworks, service: FakeService) -> None:
    job = service.add_completed(RESULTS)
    service.misbehave("GET /storage", cut_after=1000)
    list(client.batches.results(job.job_id))
    assert len(service.requests_to("/results")) == 2


def test_a_storage_that_refuses_is_an_error_and_its_answer_no_result(
    perform: Perform, service: FakeService, tmp_path: Path
) -> None:
    job = service.add_completed(RESULTS)
    service.misbehave("GET /storage", status=403)
    with pytest.raises(StorageError):
        perform("batches.download")(job.job_id, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_is_left_early_closes_its_connection(client: Labelworks, service: FakeService) -> None:
    job = service.add_completed(RESULTS)
    results = client.batches.results(job.job_id)
    assert next(results).id == 0
    results.close()  # type: ignore[attr-defined]
    assert [result.id for result in client.batches.results(job.job_id)][-1] == 1999


def test_partial_results_come_with_the_numbers_of_their_items(perform: Perform, service: FakeService) -> None:
    job = service.add_completed(b"".join(json.dumps(line).encode() + b"\n" for line in LINES[:7]))
    job.status = "processing"
    assert [(item, result.id) for item, result in perform("batches.partial_results")(job.job_id)] == [
        (item, item) for item in (0, 1, 4, 5, 6)
    ]
    assert perform("batches.raw_partial_results")(job.job_id)[3] == (5, json.dumps(LINES[5]).encode())


@pytest.mark.parametrize("expired", [{"status": 403}, {"status": 400}, {"lose_answer": True}])
def test_a_part_whose_address_has_expired_is_asked_for_anew(
    perform: Perform, service: FakeService, expired: dict[str, Any]
) -> None:
    job = service.add_completed(RESULTS[: RESULTS.index(b"\n") + 1])
    service.misbehave("GET /storage", **expired)
    assert [item for item, _ in perform("batches.partial_results")(job.job_id)] == [0]
    assert len(service.requests_to("partial=true")) == 2


def test_parts_that_follow_one_whose_address_has_expired_have_new_addresses(
    client: Labelworks, service: FakeService
) -> None:
    job = service.add_completed(b"".join(json.dumps(line).encode() + b"\n" for line in LINES[:40]))
    results = client.batches.partial_results(job.job_id)
    next(results)
    service.expire_addresses()
    assert [item for item, _ in results] == [1, *range(4, 40)]
    assert len(service.requests_to("partial=true")) == 2
    assert len(service.requests_to("GET /storage")) == 20


def test_a_new_address_that_is_refused_too_is_an_error(perform: Perform, service: FakeService) -> None:
    job = service.add_completed(RESULTS)
    for _ in range(2):
        service.misbehave("GET /storage", status=403)
    with pytest.raises(StorageError):
        perform("batches.partial_results")(job.job_id)
    assert len(service.requests_to("partial=true")) == 2
