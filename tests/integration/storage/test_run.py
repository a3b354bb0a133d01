"""A job from its input to its results on a real S3 server; a stand-in classifies, and others write beside it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from pipelines import run, scan_input
from pipelines.exceptions import DriverSuperseded, InputChanged, LabelworksError
from pipelines.job import InputVersion, JobConfig
from pipelines.job_input import JobInput
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.plan import PlannedRange
from pipelines.ranges import read_lines_of
from pipelines.run import JobObserver, Totals, run_job
from pipelines.settings import Settings
from pipelines.shards import ShardOrigin, ShardReceipt, write_shard

SETTINGS = Settings(range_min_bytes=40)
INPUT = b"".join(b'{"text": "number %02d"}\n' % number for number in range(12))
RESULTS = INPUT.upper()
TOTALS = Totals(12, 0, 120)
OTHER = ShardOrigin("another input", "another engine")


class Counter:
    def count(self, texts: Sequence[str]) -> list[int]:
        return [1] * len(texts)


class Classifiers:
    """Takes the place of the Ray Data pipeline: a range's results are its input in capitals."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.after_round: Callable[[int], None] = lambda number: None

    def __call__(
        self,
        store: ObjectStore,
        settings: Settings,
        job: JobInput,
        config: JobConfig,
        ranges: Sequence[PlannedRange],
        origin: ShardOrigin,
        **options: Any,
    ) -> Iterator[ShardReceipt]:
        self.rounds.append([planned.index for planned in ranges])
        for planned in ranges:
            lines = read_lines_of(planned.byte_range(), len(INPUT), job.reader(store, INPUT)).upper()
            receipt = ShardReceipt(planned.index, planned.items, 0, 10 * planned.items, len(lines))
            write_shard(store, job.paths, lines, receipt, origin)
            yield receipt
        self.after_round(len(self.rounds))


@pytest.fixture
def classifiers(monkeypatch: pytest.MonkeyPatch) -> Classifiers:
    classifiers = Classifiers()
    monkeypatch.setattr(run, "classify_ranges", classifiers)
    monkeypatch.setattr(scan_input, "token_counter_for", lambda settings, model: Counter())
    monkeypatch.setattr(run, "_classifiers_arithmetic", lambda settings, model: "bf16")
    monkeypatch.setattr(run, "fingerprint_for", lambda settings, model, arithmetic: f"engine-one {arithmetic}")
    return classifiers


@pytest.fixture
def job(store: ObjectStore) -> JobInput:
    paths = JobPaths("acme", f"batch_{secrets.token_hex(8)}")
    store.put(paths.input, INPUT)
    return JobInput(paths, InputVersion(etag=store.head(paths.input).etag, size=len(INPUT)))


def carried_out(
    store: ObjectStore, job: JobInput, observer: JobObserver | None = None, settings: Settings = SETTINGS
) -> Totals:
    return run_job(
        store,
        settings,
        job,
        JobConfig(labels=("a",), model="minilm"),
        classifiers=1,
        watcher=None,
        observer=observer or JobObserver(),
    )


def overwrite(store: ObjectStore, job: JobInput, index: int, lines: bytes) -> None:
    """As a run that was superseded long ago may do when its last call arrives."""
    write_shard(store, job.paths, lines, ShardReceipt(index, 1, 0, 1, len(lines)), OTHER)


def test_an_undisturbed_job_classifies_each_range_once(
    store: ObjectStore, classifiers: Classifiers, job: JobInput
) -> None:
    assert carried_out(store, job) == TOTALS
    assert store.get(job.paths.results) == RESULTS
    (indexes,) = classifiers.rounds
    assert len(indexes) > 3
    assert carried_out(store, job) == TOTALS
    assert classifiers.rounds == [indexes]


def test_a_short_input_that_is_not_kept_is_read_no_further_than_it_goes(
    store: ObjectStore, classifiers: Classifiers, job: JobInput
) -> None:
    assert carried_out(store, job, settings=SETTINGS.model_copy(update={"prefetch_bytes": 0})) == TOTALS


def test_a_shard_that_another_run_overwrote_before_the_join_is_made_again_alone(
    store: ObjectStore, classifiers: Classifiers, job: JobInput
) -> None:
    classifiers.after_round = lambda number: overwrite(store, job, 2, b"of another input\n") if number == 1 else None
    assert carried_out(store, job) == TOTALS
    assert store.get(job.paths.results) == RESULTS
    assert classifiers.rounds[1:] == [[2]]


def test_a_shard_that_is_overwritten_while_the_shards_are_joined_is_made_again_alone(
    store: ObjectStore, classifiers: Classifiers, job: JobInput
) -> None:
    class Overwrites(JobObserver):
        def entered(self, phase: str) -> None:
            if phase == "writing" and len(classifiers.rounds) == 1:
                overwrite(store, job, 1, b"of another input\n")

    assert carried_out(store, job, Overwrites()) == TOTALS
    assert store.get(job.paths.results) == RESULTS
    assert classifiers.rounds[1:] == [[1]]


def test_shards_that_are_not_in_the_plan_are_not_joined(
    store: ObjectStore, classifiers: Classifiers, job: JobInput
) -> None:
    stray = ShardReceipt(9_999, 1, 0, 1, 2)
    mine = ShardOrigin(job.version.etag, "engine-one bf16")
    classifiers.after_round = lambda number: write_shard(store, job.paths, b"x\n", stray, mine)
    assert carried_out(store, job) == TOTALS
    assert store.get(job.paths.results) == RESULTS


def test_a_job_whose_shards_never_stay_what_they_are_fails(
    store: ObjectStore, classifiers: Classifiers, job: JobInput
) -> None:
    classifiers.after_round = lambda number: overwrite(store, job, 0, b"%d\n" % number)
    with pytest.raises(LabelworksError, match="changed again and again"):
        carried_out(store, job)
    assert not store.exists(job.paths.results)


def test_a_run_that_was_superseded_removes_nothing_and_replaces_no_plan(
    store: ObjectStore, classifiers: Classifiers, job: JobInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Superseded(JobObserver):
        def begins_anew(self) -> None:
            raise DriverSuperseded

    carried_out(store, job)
    before = {listed.key: listed.modified for listed in store.list(job.paths.prefix)}
    monkeypatch.setattr(run, "fingerprint_for", lambda settings, model, arithmetic: "engine-of-long-ago")
    with pytest.raises(DriverSuperseded):
        carried_out(store, job, Superseded())
    assert {listed.key: listed.modified for listed in store.list(job.paths.prefix)} == before


def test_a_job_that_goes_on_on_nodes_that_compute_otherwise_starts_afresh(
    store: ObjectStore, classifiers: Classifiers, job: JobInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried_out(store, job)
    monkeypatch.setattr(run, "_classifiers_arithmetic", lambda settings, model: "f32")
    assert carried_out(store, job) == TOTALS
    first, second = classifiers.rounds
    assert first == second


def test_an_input_that_was_overwritten_is_not_read(store: ObjectStore, classifiers: Classifiers, job: JobInput) -> None:
    store.put(job.paths.input, INPUT.lower() + b"\n")
    with pytest.raises(InputChanged):
        carried_out(store, job)


@pytest.mark.parametrize("becomes", ["overwritten", "removed"])
def test_an_input_that_was_overwritten_after_its_last_range_was_read_fails_the_job_too(
    store: ObjectStore, classifiers: Classifiers, job: JobInput, becomes: str
) -> None:
    def change(number: int) -> None:
        if becomes == "removed":
            store.delete(job.paths.input)
        else:
            store.put(job.paths.input, INPUT.lower() + b"\n")

    classifiers.after_round = change
    with pytest.raises(InputChanged):
        carried_out(store, job)
    assert not store.exists(job.paths.results)
