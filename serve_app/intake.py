"""The check of an uploaded file before its job is started."""

from __future__ import annotations

import logging

from models.exceptions import ModelError
from pipelines.engines import token_counter_for
from pipelines.exceptions import InputRejected, ObjectMissing
from pipelines.file_kind import require_text
from pipelines.job import InputVersion, JobRecord
from pipelines.job_input import JobInput
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.scan import estimate_tokens, require_ndjson, scan_lines
from pipelines.settings import GIB, KIB, Settings
from serve_app.exceptions import InputMissing, ModelUnusable

logger = logging.getLogger(__name__)

# S3's own ceiling for one upload.
MAX_INPUT_BYTES = 5 * GIB
_HEAD_BYTES = 256 * KIB
_SAMPLES = 256
# A file of lines that begin as objects and are none could cost half a second of the processor at each try to start it.
_TRIED_LINES = 2048


def inspect_upload(store: ObjectStore, job: JobRecord, settings: Settings) -> tuple[InputVersion, int]:
    """The upload's version and a first estimate of its tokens, from its head.

    Raises InputMissing, or InputRejected for a file that is empty, too large or plainly not NDJSON; ModelUnusable. A
    file whose head alone does not tell, nor the first thousands of its lines, passes; the job's scan reads all of it.
    """
    paths = JobPaths(job.account, job.job_id)
    try:
        info = store.head(paths.input)
    except ObjectMissing as error:
        raise InputMissing(
            f"No file was uploaded for job {job.job_id}. POST it to upload_url with every upload_fields entry, the"
            " file last, then start the job."
        ) from error
    if info.size == 0:
        raise InputRejected("The uploaded file is empty (0 bytes).", size=0)
    if info.size > MAX_INPUT_BYTES:
        raise InputRejected(
            f"The uploaded file has {info.size:,} bytes; the limit is {MAX_INPUT_BYTES:,} (5 GB).",
            limit=MAX_INPUT_BYTES,
            size=info.size,
        )
    version = InputVersion(etag=info.etag, size=info.size)
    head = JobInput(paths, version).reader(store, None)(0, min(info.size, _HEAD_BYTES))
    require_text(head)
    whole = len(head) == info.size
    lines = head if whole else head[: head.rfind(b"\n") + 1]
    try:
        counter = token_counter_for(settings, job.config.model)
    except (ModelError, ImportError) as error:
        logger.exception("the job's tokens cannot be counted", extra=job.log_fields)
        raise ModelUnusable.named(job.config.model) from error
    scan = scan_lines(lines, first=True, samples=_SAMPLES, count_tokens=counter.count, tried=_TRIED_LINES)
    if whole:
        require_ndjson([scan], head)
    share = info.size / len(lines) if lines else 1.0
    return version, round(estimate_tokens([scan]) * share)
