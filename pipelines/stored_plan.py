"""A job's plan in the object storage."""

from __future__ import annotations

from pipelines.exceptions import ObjectMissing
from pipelines.job_input import JobInput
from pipelines.object_store import ObjectStore
from pipelines.plan import Plan


def load_plan(store: ObjectStore, job: JobInput) -> Plan | None:
    """The plan of an earlier run, if it was made for this version of the input."""
    try:
        plan = Plan.model_validate_json(store.get(job.paths.plan))
    except ObjectMissing:
        return None
    return plan if plan.input == job.version else None


def save_plan(store: ObjectStore, job: JobInput, plan: Plan) -> None:
    store.put(job.paths.plan, plan.model_dump_json().encode())
