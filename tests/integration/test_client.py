"""The Python client and the command line against the real service."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import httpx
import pandas as pd
import pytest

from labelworks import AsyncLabelworks, Labelworks
from labelworks.errors import ConflictError, NotFoundError, StorageError
from tests.integration.service import RunningStack

LABELS = ["billing", "bug", "praise"]
TEXTS = ["I was charged twice this month", "It crashes when I open it", "Love this app, thank you!"]
ANSWERS = ["billing", "bug", "praise"]


@pytest.fixture
def client(stack: RunningStack) -> Iterator[Labelworks]:
    with Labelworks(api_key=stack.api_key, base_url=stack.url) as client:
        yield client


def test_a_frame_is_classified_by_its_text_column(client: Labelworks) -> None:
    frame = client.classify(pd.DataFrame({"body": [*TEXTS, None]}), text_field="body", labels=LABELS)
    assert frame["label"].tolist()[:3] == ANSWERS
    assert frame["error"].tolist()[3] == "invalid_text"


def test_asyncio_gives_the_same_answers(stack: RunningStack, client: Labelworks) -> None:
    async def classify() -> list[tuple[str, float | None]]:
        async with AsyncLabelworks(api_key=stack.api_key, base_url=stack.url) as client:
            return [(text, result.confidence) for text, result in await client.classify(TEXTS, labels=LABELS)]

    expected = [(text, result.confidence) for text, result in client.classify(TEXTS, labels=LABELS)]
    assert asyncio.run(classify()) == expected


def test_the_bundled_sample_is_answered_line_by_line(client: Labelworks, tmp_path: Path) -> None:
    sample = files("labelworks") / "samples"
    path = tmp_path / "reviews.ndjson"
    path.write_bytes((sample / "reviews.ndjson").read_bytes())
    task = json.loads((sample / "task.json").read_text())
    classified = client.classify_file(path, **task)
    errors = {}
    for number, (item, result) in enumerate(classified, 1):
        if result.error:
            errors[number] = result.error.code
        else:
            assert item is not None
            assert result.id == item["id"]
            assert result.label in task["labels"]
    assert errors == {9: "invalid_text", 122: "invalid_json", 236: "empty_text", 345: "missing_text"}
    assert classified.batch.requests_failed == len(errors)


def test_a_begun_download_goes_on_with_the_storage_of_the_stack(
    stack: RunningStack, client: Labelworks, tmp_path: Path
) -> None:
    job_id = client.classify(TEXTS * 200, labels=LABELS).batch.job_id
    whole = b"".join(client.batches.raw_results(job_id))
    etag = etag_of(stack, job_id)
    (tmp_path / f"out.{etag}.part").write_bytes(b"#" * 1000)
    client.batches.download(job_id, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"#" * 1000 + whole[1000:]
    (tmp_path / "other.0000.part").write_bytes(b"#" * 1000)
    client.batches.download(job_id, tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == whole


def test_a_form_that_was_tampered_with_is_refused_by_the_storage(client: Labelworks, tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson"
    path.write_text('{"text": "x"}\n')
    created = client.batches.create(labels=LABELS)
    created.upload_fields["key"] += ".elsewhere"
    with pytest.raises(StorageError):
        client.batches.upload(created, path)


def test_a_completed_job_cannot_be_cancelled_but_deleted(client: Labelworks) -> None:
    job_id = client.classify(TEXTS, labels=LABELS).batch.job_id
    with pytest.raises(ConflictError):
        client.batches.cancel(job_id)
    client.batches.delete(job_id)
    with pytest.raises(NotFoundError):
        client.batches.retrieve(job_id)


def test_the_command_line_goes_from_csv_to_results(stack: RunningStack, tmp_path: Path) -> None:
    pd.DataFrame({"id": ["007", "008", "009"], "body": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    out = tmp_path / "out.ndjson"
    command = [
        sys.executable,
        "-m",
        "labelworks",
        "classify",
        str(tmp_path / "in.csv"),
        "--text-field",
        "body",
        "--json",
    ]
    options = ["--labels", ",".join(LABELS), "--base-url", stack.url, "--api-key", stack.api_key, "--out", str(out)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["batch"]["status"] == "completed"
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(result["id"], result["label"]) for result in results] == list(
        zip(["007", "008", "009"], ANSWERS, strict=True)
    )


def test_an_account_saves_previews_runs_and_counts(stack: RunningStack) -> None:
    with Labelworks(api_key=stack.new_key("client-account"), base_url=stack.url) as client:
        saved = client.classifiers.create("reviews", labels=LABELS, mode="multi", threshold=0.2)
        assert [entry.name for entry in client.classifiers.list()] == ["reviews"]
        assert client.classifiers.retrieve(saved.classifier) == saved
        previewed = client.preview.tag_batch([*TEXTS, ""], classifier="reviews")
        assert [result.label for result in previewed] == [*ANSWERS, None]
        assert previewed[3].error is not None
        assert client.preview.classify(TEXTS[0], classifier="reviews").label == "billing"
        joined = client.classify(pd.DataFrame({"text": TEXTS}), classifier="reviews")
        assert joined["labels"].tolist() == [[each.label for each in result.labels] for result in previewed[:3]]
        client.classifiers.delete("reviews")
        assert client.classifiers.list() == []
        assert client.usage.retrieve().total.jobs == 1


def test_a_key_is_made_listed_and_revoked(stack: RunningStack) -> None:
    with Labelworks(api_key=stack.new_key("client-keys"), base_url=stack.url) as client:
        made = client.keys.create(name="second")
        assert [key.name for key in client.keys.list()][-1] == "second"
        with Labelworks(api_key=made.key, base_url=stack.url) as other:
            assert other.batches.list() == []
        client.keys.revoke(made.id)
        assert made.id not in [key.id for key in client.keys.list()]


def etag_of(stack: RunningStack, job_id: str) -> str:
    with stack.client() as http:
        url = http.get(f"/v1/batch/{job_id}/results").json()["download_url"]
    etag: str = httpx.get(url).headers["etag"]
    return etag.strip('"')
