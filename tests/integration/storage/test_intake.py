from __future__ import annotations

import gzip
import json
import logging
import secrets
from datetime import UTC, datetime

import pytest

from pipelines.exceptions import InputRejected
from pipelines.job import JobConfig, JobRecord
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app import intake
from serve_app.exceptions import InputMissing, ModelUnusable
from serve_app.intake import inspect_upload

SETTINGS = Settings()


@pytest.fixture
def paths() -> JobPaths:
    return JobPaths("acme", f"batch_{secrets.token_hex(8)}")


def pending(paths: JobPaths, model: str = "minilm") -> JobRecord:
    config = JobConfig(labels=("a", "b"), model=model)
    return JobRecord(job_id=paths.job_id, account=paths.account, config=config, created_at=datetime.now(UTC))


def line(text: str) -> bytes:
    return json.dumps({"text": text}).encode() + b"\n"


def test_an_upload_is_pinned_and_its_tokens_are_estimated(store: ObjectStore, paths: JobPaths) -> None:
    data = line("hello there world") * 40
    store.put(paths.input, data)
    version, tokens = inspect_upload(store, pending(paths), SETTINGS)
    assert (version.size, version.etag) == (len(data), store.head(paths.input).etag)
    assert tokens > 0
    assert tokens % 40 == 0


def test_the_estimate_of_a_large_upload_scales_with_its_size(gateway_store: ObjectStore, paths: JobPaths) -> None:
    gateway_store.put(paths.input, line("hello there world"))
    _, one = inspect_upload(gateway_store, pending(paths), SETTINGS)
    gateway_store.put(paths.input, line("hello there world") * 50_000)
    _, many = inspect_upload(gateway_store, pending(paths), SETTINGS)
    assert many == pytest.approx(50_000 * one, rel=0.01)


def test_a_job_without_an_upload_says_how_to_upload(store: ObjectStore, paths: JobPaths) -> None:
    with pytest.raises(InputMissing, match="POST it to upload_url with every upload_fields entry"):
        inspect_upload(store, pending(paths), SETTINGS)


def test_an_engine_that_is_gone_since_the_job_was_created_is_named_and_its_log_line_has_the_job(
    store: ObjectStore, paths: JobPaths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(intake, "logger", logging.getLogger("of_this_test"))
    store.put(paths.input, line("hello"))
    job = pending(paths, "no.such.engine")
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(ModelUnusable, match=r"Model 'no\.such\.engine' cannot be used now"),
    ):
        inspect_upload(store, job, SETTINGS)
    (told,) = [line for line in caplog.records if line.name == "of_this_test"]
    assert job.log_fields.items() <= vars(told).items()


def test_an_empty_upload_is_rejected(store: ObjectStore, paths: JobPaths) -> None:
    store.put(paths.input, b"")
    with pytest.raises(InputRejected, match=r"empty \(0 bytes\)"):
        inspect_upload(store, pending(paths), SETTINGS)


def test_an_upload_over_the_limit_is_rejected_with_limit_unit_and_size(
    gateway_store: ObjectStore, paths: JobPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert intake.MAX_INPUT_BYTES == 5 * 2**30
    monkeypatch.setattr(intake, "MAX_INPUT_BYTES", 1000)
    gateway_store.put(paths.input, (b'{"text":"a"}' + b" " * 1000)[:1000])
    inspect_upload(gateway_store, pending(paths), SETTINGS)
    gateway_store.put(paths.input, b'{"text":"a"}' + b" " * 989)
    with pytest.raises(InputRejected, match=r"has 1,001 bytes; the limit is 1,000") as rejected:
        inspect_upload(gateway_store, pending(paths), SETTINGS)
    assert rejected.value.details == {"limit": 1000, "size": 1001}


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (gzip.compress(line("a"), mtime=0), "found gzip data"),
        (gzip.compress(secrets.token_bytes(400_000), mtime=0), "found gzip data"),
        (b"id,text\n1,hello\n", "found what looks like CSV"),
        (b"\n \r\n", "holds no items, only blank lines"),
        (b'[{"text":"a"}]', "found a JSON array"),
        (b"1\n" * 100_000, "found other text"),
        (b"{\n" * 2048 + b"}\n" * 2048, "found an object that is spread over several lines"),
    ],
)
def test_an_upload_that_is_plainly_no_ndjson_is_rejected_at_start(
    gateway_store: ObjectStore, paths: JobPaths, data: bytes, found: str
) -> None:
    gateway_store.put(paths.input, data)
    with pytest.raises(InputRejected, match=found) as rejected:
        inspect_upload(gateway_store, pending(paths), SETTINGS)
    assert "expected NDJSON" in rejected.value.message


def test_an_upload_whose_first_line_is_longer_than_its_head_passes(gateway_store: ObjectStore, paths: JobPaths) -> None:
    gateway_store.put(paths.input, b" " * 600_000 + line("a"))
    version, tokens = inspect_upload(gateway_store, pending(paths), SETTINGS)
    assert version.size == 600_000 + len(line("a"))
    assert tokens == 0


@pytest.mark.parametrize("last", [line("a"), b"{\n"])
def test_an_upload_of_very_many_broken_objects_is_left_to_the_jobs_scan(
    gateway_store: ObjectStore, paths: JobPaths, last: bytes
) -> None:
    gateway_store.put(paths.input, b"{\n" * 2048 + last)
    assert inspect_upload(gateway_store, pending(paths), SETTINGS)[0].size == 4096 + len(last)


def test_an_upload_of_few_objects_among_other_lines_passes(gateway_store: ObjectStore, paths: JobPaths) -> None:
    for other in (b"oops\n", b"GIF89a is an old format\n"):
        gateway_store.put(paths.input, other * 100 + line("a") + other * 100)
        assert inspect_upload(gateway_store, pending(paths), SETTINGS)[1] > 0
