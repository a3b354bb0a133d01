"""A job without the bulk of what its client asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import field_validator

from pipelines.job import JobConfig, JobRecord


class JobView(JobRecord):
    """What polls are answered from and what is remembered of jobs that are not processing.

    Of its config only the model and the classifier's name are there, so that it costs the same whatever labels and
    examples the job has. It is read from a record, and never stored in its place.
    """

    @classmethod
    def of(cls, job: JobRecord) -> Self:
        return cls.model_validate(dict(job))

    def with_config(self, config: JobConfig) -> JobRecord:
        """The job's record, with the config that it was created with."""
        return JobRecord(**{**dict(self), "config": config})

    @field_validator("config", mode="before")
    @classmethod
    def _shown(cls, given: Any) -> Any:
        if not isinstance(given, JobConfig | Mapping):
            return given
        known = dict(given)
        return {"labels": (), **{name: known[name] for name in ("model", "classifier") if name in known}}
