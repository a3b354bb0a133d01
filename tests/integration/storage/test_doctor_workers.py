"""What `labelworks doctor` says of a storage as the nodes that classify meet it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from pipelines.exceptions import LabelworksError
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectInfo, ObjectStore
from pipelines.settings import Settings
from serve_app.doctor.workers import examine_storage_from, examine_workers, uploaded_input
from serve_app.embedded.ports import free_port
from tests.integration.storage.conftest import S3Server, bucket_of_its_own, refuse

JOB = JobPaths("doctor", "batch_0123456789abcdef")
POLICY = "serve_app/operations/worker-policy.json"


@pytest.fixture
def given(store: ObjectStore) -> Iterator[ObjectInfo]:
    with uploaded_input(store, JOB, shards=1) as info:
        yield info


@pytest.fixture
def refusing(moto_server: S3Server) -> Settings:
    return bucket_of_its_own(moto_server)


def left_in(store: ObjectStore) -> list[str]:
    return [listed.key for listed in store.list("batch/doctor/")]


def test_a_worker_that_may_do_what_jobs_do_is_in_order(server: S3Server, store: ObjectStore, given: ObjectInfo) -> None:
    rights, clock = examine_storage_from("worker-7", ObjectStore(server.settings()), JOB, given, 0)

    assert (rights.check, rights.ok) == ("storage on node worker-7", True)
    assert (clock.check, clock.ok) == ("clock of node worker-7", True)
    assert left_in(store) == [JOB.input, JOB.shard(0)]


@pytest.mark.parametrize(
    ("action", "keys", "failed"),
    [
        ("s3:GetObject", "batch/*/input.ndjson", "reading an input (s3:GetObject) failed: "),
        ("s3:PutObject", "batch/*/shards/*", "writing a shard (s3:PutObject) failed: "),
    ],
)
def test_a_worker_that_lacks_a_right_is_named_with_the_right_and_the_policy(
    refusing: Settings, action: str, keys: str, failed: str
) -> None:
    store = ObjectStore(refusing, retry_seconds=5)
    with uploaded_input(store, JOB, shards=1) as given:
        refuse(refusing, action, keys)
        (finding,) = examine_storage_from("worker-7", store, JOB, given, 0)

    assert not finding.ok
    assert finding.check == "storage on node worker-7"
    assert finding.found.startswith(failed)
    assert "403" in finding.found
    assert POLICY in finding.advice


def test_a_worker_with_wrong_credentials_fails_at_both_and_does_not_tell_them(
    gateway_server: S3Server, gateway_store: ObjectStore
) -> None:
    settings = gateway_server.settings().model_copy(update={"s3_secret_key": SecretStr("another-secret")})
    with uploaded_input(gateway_store, JOB, shards=1) as given:
        findings = examine_storage_from("worker-7", ObjectStore(settings, retry_seconds=5), JOB, given, 0)

    assert [finding.ok for finding in findings] == [False, False]
    assert all("SignatureDoesNotMatch" in finding.found for finding in findings)
    assert "another-secret" not in repr(findings)


def test_a_worker_without_a_route_to_the_storage_says_where_it_did_not_get(
    gateway_server: S3Server, gateway_store: ObjectStore
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with uploaded_input(gateway_store, JOB, shards=1) as given:
        cut_off = ObjectStore(gateway_server.settings(endpoint=nowhere), retry_seconds=0.5)
        findings = examine_storage_from("worker-7", cut_off, JOB, given, 0)

    assert [finding.ok for finding in findings] == [False, False]
    assert all(nowhere in finding.found for finding in findings)
    assert "route" in findings[0].advice


def test_a_workers_clock_that_differs_is_found(
    server: S3Server, store: ObjectStore, given: ObjectInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The machine's own clock cannot be moved for a test.
    late = datetime.now(UTC) - timedelta(minutes=10)
    monkeypatch.setattr(ObjectStore, "server_time", lambda _self, _key: late)

    _, clock = examine_storage_from("worker-7", store, JOB, given, 0)

    assert (clock.check, clock.ok) == ("clock of node worker-7", False)
    assert "600 s" in clock.found


def test_nothing_is_left_when_the_check_fails(gateway_store: ObjectStore) -> None:
    def check() -> None:
        with uploaded_input(gateway_store, JOB, shards=2) as given:
            examine_storage_from("worker-7", gateway_store, JOB, given, 1)
            assert left_in(gateway_store) == [JOB.input, JOB.shard(1)]
            raise LabelworksError

    with pytest.raises(LabelworksError):
        check()

    assert left_in(gateway_store) == []


def test_workers_are_not_asked_to_read_what_could_not_be_written(gateway_server: S3Server) -> None:
    settings = gateway_server.settings(bucket="nobodys-bucket")

    (finding,) = examine_workers(settings, [{"NodeManagerHostname": "worker-7", "Resources": {"CPU": 8.0}}])

    assert not finding.ok
    assert finding.found.startswith("not tried: this machine could not write")
