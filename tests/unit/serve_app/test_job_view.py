"""What is left of a job where its config does not matter."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import cast

import pytest

from pipelines.exceptions import LabelworksError
from pipelines.job import InputVersion, JobConfig, JobRecord
from pipelines.job_transitions import Started, transition
from pipelines.object_store import ObjectStore
from serve_app.job_repository import JobRepository
from serve_app.job_view import JobView
from serve_app.schemas import BatchStatus
from tests.unit.serve_app.memory_store import MemoryStore

CONFIG = JobConfig(
    labels=("a", "b"), descriptions={"a": "x"}, examples={"b": ("y",)}, mode="multi", model="static", classifier="c@v2"
)


def started(config: JobConfig = CONFIG) -> JobRecord:
    created = datetime(2026, 11, 24, tzinfo=UTC)
    job = JobRecord(job_id="batch_0000000000000001", account="acme", config=config, created_at=created)
    return transition(job, Started(created, InputVersion(etag="e", size=1), 5, "key", "r-1"))


def test_a_view_is_as_small_whatever_was_said_of_the_labels() -> None:
    examples = tuple(f"{number:03d}" for number in range(20_000))
    bulky = CONFIG.model_copy(update={"labels": ("x" * 100,) * 200, "examples": {"b": examples}})
    assert len(pickle.dumps(JobView.of(started(bulky)))) == len(pickle.dumps(JobView.of(started())))


def test_a_view_shows_all_that_the_record_does_and_becomes_it_again_with_its_config() -> None:
    job = started()
    view = JobView.of(job)
    assert BatchStatus.of(view, 0.08) == BatchStatus.of(job, 0.08)
    assert (view.config.model, view.config.classifier) == ("static", "c@v2")
    assert view.with_config(job.config) == job


def test_a_view_is_read_from_a_stored_record() -> None:
    job = started()
    assert JobView.model_validate_json(job.model_dump_json()) == JobView.of(job)


def test_a_view_is_not_stored_in_the_place_of_its_record() -> None:
    store = MemoryStore()
    repository = JobRepository(cast(ObjectStore, store))
    repository.claim()
    before = dict(store.objects)
    with pytest.raises(LabelworksError, match="would lose what the job is to do"):
        repository.save(JobView.of(started()))
    assert store.objects == before
