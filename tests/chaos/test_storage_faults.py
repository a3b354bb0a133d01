"""The object storage fails in mid-job in the ways that networks and busy servers do; the job waits and goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serve_app.embedded.ports import free_port
from tests.chaos.bucket import shards_of
from tests.chaos.conftest import CHAOS_SETTINGS
from tests.chaos.disturbed_job import GOOD_LINES, DisturbedJob, Undisturbed, job_data, seconds_until
from tests.chaos.journal import Journal
from tests.chaos.processes import kill_one, pids_of
from tests.chaos.recoveries import Recoveries, Recovery
from tests.faults.tcp_proxy import Busy, Cut, CutRequest, Delay, Fault, FaultyProxy
from tests.integration.service import RunningStack

DOWN_SECONDS = 60.0
REGISTRY_DOWN_SECONDS = 45.0
FAULTY_SECONDS = 15.0
# Makes the input so large that its ranges are not kept from the start but read while the faults last.
PADDING = 8_000
CUT_AFTER_BYTES = 100_000


@pytest.fixture(scope="module")
def s3_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def proxy(s3_port: int) -> Iterator[FaultyProxy]:
    with FaultyProxy(f"http://127.0.0.1:{s3_port}") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def stack(
    undisturbed: Undisturbed, stack_folder: Path, journal: Journal, proxy: FaultyProxy, s3_port: int
) -> Iterator[RunningStack]:
    """The service reaches its storage through the proxy; these tests and clients reach it directly."""
    settings = CHAOS_SETTINGS | {"LABELWORKS_S3_PUBLIC_ENDPOINT": f"http://127.0.0.1:{s3_port}"}
    program = ["tests.chaos.proxied_stack", "--s3-port", str(s3_port), "--s3-endpoint", proxy.endpoint]
    with RunningStack.start(stack_folder, program=program, **settings, **journal.environment()) as running:
        yield running


def test_a_job_waits_while_the_storage_is_down_and_the_api_says_so(
    stack: RunningStack,
    proxy: FaultyProxy,
    journal: Journal,
    data: bytes,
    undisturbed: Undisturbed,
    recoveries: Recoveries,
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "storage-down", data)
    kept = job.wait_for_shards(3)
    proxy.go_down()
    down_until = time.monotonic() + DOWN_SECONDS
    try:
        with job.client() as client:
            refused = client.post("/v1/batch", json={"labels": ["a", "b"]})
            while time.monotonic() < down_until:
                polled = client.get(f"/v1/batch/{job.job_id}")
                assert (polled.status_code, polled.json()["status"]) == (200, "processing")
                time.sleep(2)
    finally:
        proxy.come_up()
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    seconds = _until_more_shards(job)
    job.require_whole(undisturbed, kept)
    rework = job.require_little_rework(journal, before, GOOD_LINES, deaths=0)
    job.require_no_actor_left()
    recoveries.add(Recovery("S3, down for 60 s", seconds, "a shard is written, from its return", rework, GOOD_LINES))


def test_a_registry_that_dies_while_the_storage_is_down_comes_back_with_it_and_adopts_the_driver(
    stack: RunningStack,
    proxy: FaultyProxy,
    journal: Journal,
    data: bytes,
    undisturbed: Undisturbed,
    recoveries: Recoveries,
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "registry-dies-without-storage", data)
    kept = job.wait_for_shards(3)
    drivers = pids_of(stack.process.pid, "driver")
    proxy.go_down()
    try:
        kill_one(stack.process.pid, "registry")
        # Longer than the registry tries one call.
        down_until = time.monotonic() + REGISTRY_DOWN_SECONDS
        while time.monotonic() < down_until:
            assert job.state() is None, "nobody can know the job's state now"
            time.sleep(2)
        assert pids_of(stack.process.pid, "registry")
    finally:
        proxy.come_up()
    seconds = seconds_until(job.state, "the API knows the job again", time.monotonic())
    assert set(pids_of(stack.process.pid, "driver")) <= set(drivers)
    job.require_whole(undisturbed, kept)
    rework = job.require_little_rework(journal, before, GOOD_LINES, deaths=0)
    job.require_no_actor_left()
    recoveries.add(
        Recovery(
            "registry, while S3 is down", seconds, "the API tells the job's state, from its return", rework, GOOD_LINES
        )
    )


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("answering 503", Busy()),
        ("answering 500", Busy(500)),
        ("slow by 0.5 s", Delay(0.5)),
        ("losing requests in their middle", CutRequest(3000)),
    ],
)
def test_a_job_gets_through_a_faulty_storage(
    name: str,
    fault: Fault,
    stack: RunningStack,
    proxy: FaultyProxy,
    journal: Journal,
    data: bytes,
    undisturbed: Undisturbed,
    recoveries: Recoveries,
) -> None:
    before = journal.texts()
    job = DisturbedJob(stack, "storage-" + name.replace(" ", "-").replace(".", "-"), data)
    kept = job.wait_for_shards(3)
    with _faulty(proxy, fault):
        time.sleep(FAULTY_SECONDS)
    seconds = _until_more_shards(job)
    job.require_whole(undisturbed, kept)
    rework = job.require_little_rework(journal, before, GOOD_LINES, deaths=0)
    recoveries.add(Recovery(f"S3, {name} for 15 s", seconds, "a shard is written, after it", rework, GOOD_LINES))


def test_a_large_input_is_read_on_where_bodies_were_cut_off(
    stack: RunningStack, proxy: FaultyProxy, undisturbed: Undisturbed
) -> None:
    before = proxy.connections
    with _faulty(proxy, Cut(CUT_AFTER_BYTES)):
        job = DisturbedJob(stack, "storage-cut", job_data(PADDING))
        kept = job.wait_for_shards(5)
    assert proxy.connections > before + len(kept)
    job.require_whole(undisturbed, kept)
    job.require_no_actor_left()


@contextmanager
def _faulty(proxy: FaultyProxy, fault: Fault) -> Iterator[None]:
    proxy.fail_always(fault)
    try:
        yield
    finally:
        proxy.heal()
        # Connections that were opened meanwhile keep their fault.
        proxy.close_connections()


def _until_more_shards(job: DisturbedJob) -> float:
    known = len(shards_of(job.bucket, job.paths))
    return seconds_until(
        lambda: len(shards_of(job.bucket, job.paths)) > known or job.has_ended(), "shards are written", time.monotonic()
    )
