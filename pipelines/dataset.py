"""The Ray Data pipeline of a job: ranges in, shards in S3 and their receipts out. One row = one range = one shard."""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask, TaskPoolStrategy
from ray.data.block import BlockMetadata

from models.exceptions import ModelError
from models.processors import limit_tokenizer_threads
from pipelines.attempts import Attempt
from pipelines.engines import (
    arithmetic_for,
    classifier_resources,
    engine_for,
    fingerprint_for,
    require_gpu,
    threads_of_classifier,
)
from pipelines.exceptions import ClassifierBroken, ModelFailed, OtherArithmetic, OtherEngine
from pipelines.job import JobConfig
from pipelines.job_input import JobInput
from pipelines.logs import Fields, configure_logging, process_fields
from pipelines.node import node_resources
from pipelines.object_store import ObjectStore
from pipelines.plan import PlannedRange
from pipelines.range_classifier import classify_range, works
from pipelines.ranges import read_lines_of
from pipelines.settings import Settings
from pipelines.shards import ShardOrigin, ShardReceipt, write_shard
from pipelines.spool import spool
from pipelines.timed_classifier import TimedClassifier, bind_in_time, ends_process_after
from pipelines.work import Work

logger = logging.getLogger(__name__)

_REPORT_SECONDS = 0.5
# A process can die for reasons that are not in its engine.
_LOADS_DIED_OVER = 3
# A new process may help, as where a GPU failed. If even a good text fails after so many, no range is to blame.
_BROKEN_ATTEMPTS = 3
_RECEIPT_SCHEMA = pa.schema(
    {
        "index": pa.int32(),
        "completed": pa.int64(),
        "failed": pa.int64(),
        "tokens": pa.int64(),
        "size": pa.int64(),
    }
)


class RangeSource(Datasource):
    """One read task, and one row, a range: its number and the bytes of the lines it owns."""

    def __init__(self, store: ObjectStore, job: JobInput, ranges: Sequence[PlannedRange]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._store = store
        self._job = job
        self._ranges = ranges

    def get_name(self) -> str:
        return "Ranges"

    def estimate_inmemory_data_size(self) -> int:
        return sum(planned.end - planned.start for planned in self._ranges)

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        return [
            ReadTask(
                self._reader(planned),
                BlockMetadata(num_rows=1, size_bytes=planned.end - planned.start, exec_stats=None, input_files=None),
            )
            for planned in self._ranges
        ]

    def _reader(self, planned: PlannedRange) -> Callable[[], Iterable[pa.Table]]:
        # A function that closes over small values: the source itself would travel with every task.
        store, job = self._store, self._job

        def read() -> Iterable[pa.Table]:
            yield _block(store, job, planned, None)

        return read


class ClassifierActor:
    """Holds an engine bound to the job's task. Called by ``map_batches`` with one range at a time; the job has so many
    ``classifiers`` in all.

    Writes the range's shard itself. If a further operator did, ranges that are classified and not yet written would
    pile up where processors are short, and a cancelled or resumed job would have to do them again.

    ``arithmetic`` is what the job's shards are computed in; where this node's CPU computes in another, each call
    raises OtherArithmetic. Where the model cannot be used, each raises ModelFailed; where its version is not that of
    ``origin``, OtherEngine. Raised by calls, not by the constructor: of a constructor's exception Ray reports only
    that the actor died.

    ``watcher`` is an actor with ``begin_load(classifier) -> int``, ``load_ended(classifier)``,
    ``begin_range(index) -> Attempt``, ``range_group(index, span)``,
    ``range_progress(index, attempt, completed, failed)`` and ``range_classified(index, work)``: it keeps the attempts,
    since an engine or a range that kills this process comes back to the next one.
    """

    def __init__(
        self,
        store: ObjectStore,
        settings: Settings,
        job: JobInput,
        config: JobConfig,
        origin: ShardOrigin,
        arithmetic: str,
        classifiers: int,
        watcher: Any,
        log_fields: Fields,
    ) -> None:
        configure_logging(settings, log_fields)
        # While the engine is loaded: the first shard would wait for it.
        threading.Thread(target=store.connect, name="connect", daemon=True).start()
        self._store = store
        self._paths = job.paths
        self._origin = origin
        self._task = config.task()
        self._arithmetic = (arithmetic, arithmetic_for(settings, config.model))
        self._model = config.model
        self._engine = fingerprint_for(settings, config.model, arithmetic)
        threads = threads_of_classifier(settings, config.model, classifiers, node_resources())
        limit_tokenizer_threads(threads)
        self._watcher = watcher
        self._classifier = self._loaded(settings, threads)

    def _loaded(self, settings: Settings, threads: int) -> TimedClassifier | ModelFailed:
        # If the process dies in here, Ray starts it again and again, and tells nobody.
        name = ray.get_runtime_context().get_actor_id()
        deaths = ray.get(self._watcher.begin_load.remote(name))
        loaded = self._load(settings, threads) if deaths < _LOADS_DIED_OVER else self._died_over(deaths, settings)
        ray.get(self._watcher.load_ended.remote(name))
        return loaded

    def _load(self, settings: Settings, threads: int) -> TimedClassifier | ModelFailed:
        seconds = settings.classifier_timeout_seconds
        try:
            with ends_process_after(seconds):
                engine = engine_for(settings, self._model, threads)
            require_gpu(settings, self._model, engine)
            return TimedClassifier(bind_in_time(engine, self._task, seconds), seconds)
        except (ModelError, ImportError) as error:
            return self._failed(str(error))

    def _died_over(self, deaths: int, settings: Settings) -> ModelFailed:
        return self._failed(
            f"its process died {deaths} times while it loaded. It may need more memory than the node has, or more than"
            f" {settings.classifier_timeout_seconds:g} s (classifier_timeout_seconds); the operator finds more in the"
            " node's logs. Start the job again once that is mended, or create another with another model."
        )

    def _failed(self, reason: str) -> ModelFailed:
        return ModelFailed(f"The model {self._model} cannot be used on node {platform.node()}: {reason}")

    def __call__(self, batch: pa.Table) -> pa.Table:
        self._require_arithmetic()
        if isinstance(self._classifier, ModelFailed):
            raise self._classifier
        self._require_engine()
        index = batch["index"][0].as_py()
        attempt: Attempt = ray.get(self._watcher.begin_range.remote(index))
        reported_at = 0.0

        def report(completed: int, failed: int) -> None:
            nonlocal reported_at
            if time.monotonic() - reported_at >= _REPORT_SECONDS:
                reported_at = time.monotonic()
                self._watcher.range_progress.remote(index, attempt.number, completed, failed)

        if attempt.number > _BROKEN_ATTEMPTS and not works(self._classifier):
            raise ClassifierBroken
        began = time.monotonic()
        with spool() as lines:
            try:
                result = classify_range(
                    batch["data"][0].as_py(),
                    first=index == 0,
                    task=self._task,
                    classifier=self._classifier,
                    attempt=attempt,
                    output=lines,
                    on_progress=report,
                    on_group=lambda span: ray.get(self._watcher.range_group.remote(index, span)),
                )
            except ClassifierBroken:
                # What is broken, such as a GPU's context, ends with the process. Ray starts another for the range, and
                # a text that breaks the classifier is then found as one that kills the process is.
                os._exit(1)
            work = Work(time.monotonic() - began, errors=result.errors)
            ray.get(self._watcher.range_classified.remote(index, work))
            receipt = ShardReceipt(index, result.completed, result.failed, result.tokens, lines.tell())
            write_shard(self._store, self._paths, lines, receipt, self._origin)
        return pa.Table.from_pylist([asdict(receipt)], schema=_RECEIPT_SCHEMA)

    def _require_arithmetic(self) -> None:
        planned, here = self._arithmetic
        if planned != here:
            raise OtherArithmetic(
                f"The CPU of node {platform.node()} computes {self._model} in {here} where the job's plan says"
                f" {planned}, and one file must not hold answers of both. Run one kind of CPU for all classifiers of a"
                f" cluster, then start the job again."
            )

    def _require_engine(self) -> None:
        if self._engine != self._origin.engine:
            raise OtherEngine(
                f"Node {platform.node()} has another version of the model {self._model} or its libraries than the job's"
                f" plan, and one file must not hold answers of both. Start the service again so that all nodes have"
                f" one version ('ray up' on a cluster), then start the job again."
            )


def classify_ranges(
    store: ObjectStore,
    settings: Settings,
    job: JobInput,
    config: JobConfig,
    ranges: Sequence[PlannedRange],
    origin: ShardOrigin,
    *,
    arithmetic: str,
    classifiers: int,
    watcher: Any,
    prefetched: bytes | None = None,
) -> Iterator[ShardReceipt]:
    """Read ``ranges``, classify and write them (in ``classifiers`` actors); their shards are marked with ``origin``.

    Raises OtherArithmetic where a classifier's node does not compute in ``arithmetic``, ModelFailed where the model
    cannot be used, OtherEngine where the node's version of it is not that of ``origin``.

    Yields a receipt for each shard once it is in S3, in any order.

    Stop iterating to cancel. ``prefetched`` is the whole input where it is small enough to have been read already.
    """
    if not ranges:
        return
    configure_ray_data()
    resources: dict[str, Any] = {**classifier_resources(settings, config.model)}
    pool = min(classifiers, len(ranges))
    if prefetched is None:
        read = ray.data.read_datasource(
            RangeSource(store, job, ranges),
            override_num_blocks=len(ranges),
            # Reading mostly waits for S3, and classifiers, which wait for it, may hold every CPU there is.
            num_cpus=0,
            # A range is read in a fraction of the time that it takes to classify. More tasks at once would only start
            # more processes.
            compute=TaskPoolStrategy(size=pool),
        )
    else:
        # A task would do no more than hand on what is here, in a process that takes seconds to start.
        read = ray.data.from_blocks([_block(store, job, planned, prefetched) for planned in ranges])
    dataset = read.map_batches(
        ClassifierActor,
        batch_size=1,
        batch_format="pyarrow",
        fn_constructor_args=(store, settings, job, config, origin, arithmetic, pool, watcher, process_fields()),
        compute=ActorPoolStrategy(size=pool, max_tasks_in_flight_per_actor=2),
        **resources,
    )
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for receipt in batch.to_pylist():
            yield ShardReceipt(**receipt)


def configure_ray_data() -> None:
    """Settings of this process's Ray Data: quiet, and patient where a job waits for capacity."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.verbose_progress = False
    context.execution_no_progress_timeout_s = -1
    # Wrapped in another, an exception of ours would not be told to the client.
    context.raise_original_map_exception = True
    context.memory_usage_poll_interval_s = None
    context.actor_init_retry_on_errors = True
    context.max_consecutive_actor_init_deaths = 3


def _block(store: ObjectStore, job: JobInput, planned: PlannedRange, prefetched: bytes | None) -> pa.Table:
    lines = read_lines_of(planned.byte_range(), job.version.size, job.reader(store, prefetched))
    return pa.table({"index": pa.array([planned.index], pa.int32()), "data": pa.array([lines], pa.large_binary())})
