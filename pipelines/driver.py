"""The actor that drives one job and tells the registry how it goes."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NoReturn

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from pipelines.attempts import Attempt, RangeAttempts, Span
from pipelines.exceptions import (
    BadRequest,
    DriverSuperseded,
    InputChanged,
    LabelworksError,
    ObjectMissing,
    StorageUnavailable,
)
from pipelines.job import JobConfig, JobRecord, Phase
from pipelines.job_input import JobInput
from pipelines.job_transitions import Advanced
from pipelines.loads import EngineLoads
from pipelines.logs import Fields, configure_logging
from pipelines.object_store import ObjectStore
from pipelines.plan import Plan
from pipelines.progress import ProgressTracker
from pipelines.run import JobObserver, Totals, run_job
from pipelines.settings import Settings
from pipelines.warm_up import warm_up
from pipelines.work import Work, WorkTally

logger = logging.getLogger(__name__)

_REGISTRY_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """The job that a driver works on. ``run`` tells this driver's reports from earlier ones'; ``log_fields`` are on
    every line that it and its classifiers log.
    """

    job: JobInput
    config: JobConfig
    run: int
    classifiers: int
    log_fields: Fields


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job has no result file: what its client is told, and whether what the client sent is why."""

    error: str
    by_input: bool


class JobDriver(JobObserver):
    """Runs one job after another; classifier actors and the registry call its other methods meanwhile.

    ``registry`` is an actor with ``driver_report(job_id, Advanced) -> bool`` (False: stop) and
    ``driver_finished(job_id, run, Totals | JobFailure)``.
    """

    def __init__(self, settings: Settings, registry: Any) -> None:
        configure_logging(settings)
        self._settings = settings
        self._store = ObjectStore(settings)
        self._registry = registry
        # A heartbeat must not wait long for the storage.
        self._records = ObjectStore(settings, retry_seconds=settings.s3_api_retry_seconds)
        self._assignment: Assignment | None = None
        self._begin(None)

    def _begin(self, assignment: Assignment | None) -> None:
        self._assignment = assignment
        self._attempts: defaultdict[int, RangeAttempts] = defaultdict(
            lambda: RangeAttempts(self._settings.range_attempts)
        )
        self._loads = EngineLoads()
        self._work = WorkTally()
        self._phase: Phase = "scanning"
        self._plan: Plan | None = None
        self._tracker: ProgressTracker | None = None

    def run(self, assignment: Assignment) -> None:
        """Carry the job out and report its end; returns when the registry has taken the report."""
        configure_logging(self._settings, assignment.log_fields)
        logger.info("the job begins with %d classifiers", assignment.classifiers)
        self._begin(assignment)
        ended = threading.Event()
        threading.Thread(target=self._beat, args=(assignment, ended), daemon=True).start()
        outcome: Totals | JobFailure
        try:
            outcome = run_job(
                self._store,
                self._settings,
                assignment.job,
                assignment.config,
                classifiers=assignment.classifiers,
                watcher=ray.get_runtime_context().current_actor,
                observer=self,
            )
        except DriverSuperseded:
            self._end_superseded(assignment)
        except Exception as failure:  # noqa: BLE001 - whatever it is ends the job, and is logged
            _log_failure(failure)
            outcome = explain(failure)
        finally:
            ended.set()
        self._finish(assignment, outcome)

    def ping(self) -> None:
        """Answers once the process is up."""

    def prepare(self) -> None:
        """Load what every job needs."""
        warm_up(self._store, self._settings)

    def begin_load(self, classifier: str) -> int:
        """This classifier begins to load the engine. Returns how often in a row its process has died while it did."""
        return self._loads.begin(classifier)

    def load_ended(self, classifier: str) -> None:
        """This classifier has the engine, or knows why it cannot have it."""
        self._loads.ended(classifier)

    def begin_range(self, index: int) -> Attempt:
        """A classifier takes the range on; if another did before, it died over it."""
        attempt = self._attempts[index].begin()
        if attempt.number > 1:
            self._work.add(Work(range_retries=1))
        return attempt

    def range_group(self, index: int, span: Span) -> None:
        """The classifier that has the range is about to classify these texts of it."""
        self._attempts[index].working_on(span)

    def range_progress(self, index: int, attempt: int, completed: int, failed: int) -> None:
        """So many items of the range are answered in this attempt."""
        if self._tracker:
            self._tracker.partial(index, attempt, completed, failed)

    def range_classified(self, index: int, work: Work) -> None:
        """A classifier has answered every text of the range."""
        self._attempts[index].finished()
        self._work.add(work)

    def entered(self, phase: Phase) -> None:
        self._phase = phase
        if phase == "writing":
            self._require_assignment()

    def begins_anew(self) -> None:
        self._require_assignment()

    def planned(self, plan: Plan, tracker: ProgressTracker) -> None:
        self._plan, self._tracker = plan, tracker

    def _beat(self, assignment: Assignment, ended: threading.Event) -> None:
        while not ended.wait(self._settings.heartbeat_seconds):
            # A job that has just ended does not go on either, but its process is to take the next one.
            if self._goes_on(assignment) is False and not ended.is_set():
                self._end_superseded(assignment)

    def _end_superseded(self, assignment: Assignment) -> NoReturn:
        logger.warning("the run was superseded")
        # The Dataset may block the thread that runs the job, and all that the driver owns ends with its process. If a
        # registry of another cluster has the job now, nobody else can end it.
        os._exit(0)

    def _require_assignment(self) -> None:
        """Ask the registry and the storage, however long it takes, whether this driver may still write the results."""
        if self._assignment is None:
            raise LabelworksError("The driver was not given a job.")
        while (may_write := self._may_write(self._assignment)) is None:
            time.sleep(self._settings.heartbeat_seconds)
        if not may_write:
            raise DriverSuperseded

    def _may_write(self, assignment: Assignment) -> bool | None:
        goes_on = self._goes_on(assignment)
        return self._is_stored(assignment) if goes_on else goes_on

    def _goes_on(self, assignment: Assignment) -> bool | None:
        """Report to the registry; whether to go on, or None where it does not answer."""
        report = self._registry.driver_report.remote(assignment.job.paths.job_id, self._report(assignment.run))
        try:
            return bool(ray.get(report, timeout=_REGISTRY_TIMEOUT_SECONDS))
        except (RayError, TimeoutError) as failure:
            # The work goes on without the registry: its successor adopts this driver, if it is of this cluster.
            logger.warning("the registry does not answer: %s", failure)
            return False if self._is_stored(assignment) is False else None

    def _is_stored(self, assignment: Assignment) -> bool | None:
        """Whether the job's record names this run; None while the storage does not tell.

        A registry of another cluster with this bucket may have the job now, and the one here not know it yet.
        """
        try:
            job = JobRecord.model_validate_json(self._records.get(assignment.job.paths.record))
        except ObjectMissing:
            return False
        except StorageUnavailable as failure:
            logger.warning("the job's record cannot be read: %s", failure)
            return None
        return job.status == "processing" and job.run == assignment.run

    def _report(self, run: int) -> Advanced:
        if not self._plan or not self._tracker:
            return Advanced(run=run, phase=self._phase)
        now = self._tracker.snapshot(time.monotonic())
        return Advanced(
            run=run,
            phase=self._phase,
            requests_total=self._plan.items,
            requests_completed=now.completed,
            requests_failed=now.failed,
            estimated_tokens=self._plan.estimated_tokens,
            finished_ranges=now.finished_ranges,
            progress=now.progress,
            rows_per_second=now.rows_per_second,
            eta_seconds=now.eta_seconds,
            work=self._work.total(),
        )

    def _finish(self, assignment: Assignment, outcome: Totals | JobFailure) -> None:
        """The registry's answer is awaited however long it takes: an unreported end would be done again."""
        while True:
            done = self._registry.driver_finished.remote(assignment.job.paths.job_id, assignment.run, outcome)
            try:
                ray.get(done, timeout=_REGISTRY_TIMEOUT_SECONDS)
                return
            except RayTaskError as failure:
                logger.error("the registry refused the end of the job: %s", failure)
                if isinstance(failure.cause, DriverSuperseded):
                    return
            except (RayActorError, TimeoutError) as failure:
                logger.warning("the registry does not answer: %s", failure)
                if self._is_stored(assignment) is False:
                    self._end_superseded(assignment)
            time.sleep(self._settings.heartbeat_seconds)


def explain(failure: BaseException) -> JobFailure:
    """A client is told the message of our own exceptions, and the kind of any other."""
    expected = _expected(failure)
    if expected is not None:
        return JobFailure(expected.message, by_input=isinstance(expected, BadRequest | InputChanged))
    internal = f"The classification stopped on an internal error ({type(failure).__name__}); start the job again."
    return JobFailure(internal, by_input=False)


def _log_failure(failure: BaseException) -> None:
    expected = _expected(failure)
    if expected is None:
        logger.error("the job failed", exc_info=failure)
    elif isinstance(expected, BadRequest):
        # The message may quote the client's file; the job's record has it.
        logger.error("the job failed: %s (%s)", type(expected).__name__, expected.code)
    else:
        logger.error("the job failed: %s", expected)


def _expected(failure: BaseException) -> LabelworksError | None:
    """The exception of our own that a failure is, or comes from."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, LabelworksError) and not isinstance(cause, RayError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return None
