"""One bucket's objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pipelines.exceptions import ObjectChanged, ObjectMissing
from pipelines.object_store.connection import Body, BucketConnection, from_start
from pipelines.object_store.failures import CallRefused, PreconditionFailed
from pipelines.object_store.multipart import MultipartUpload, abort_uploads
from pipelines.settings import Settings

# At most this much of a broken body is read again.
_STREAM_CHUNK = 64 * 1024
_DELETE_THREADS = 16
_NO_ETAG = "0" * 32


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object's size in bytes, ETag (without quotes) and user metadata."""

    key: str
    size: int
    etag: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as a listing shows it; ``size`` in bytes."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class PresignedForm:
    """A form that lets its holder upload one object: POST ``fields``, then the file, to ``url``."""

    url: str
    fields: dict[str, str]


class ObjectStore:
    """One bucket. Calls are retried with jittered backoff for ``s3_retry_seconds``.

    Raises StorageUnavailable when the storage still does not answer then, ObjectMissing for a key that is not there.
    Can be pickled: the stores of a process share its connections. Thread-safe.
    """

    def __init__(self, settings: Settings, *, retry_seconds: float | None = None) -> None:
        self._s3 = BucketConnection(settings, retry_seconds)

    def connect(self) -> None:
        """Make this process's client, which takes a tenth of a second, before the first call needs it."""
        self._s3.retried(lambda: self._s3.client)

    def ensure_bucket(self) -> None:
        """Create the bucket if it is not there."""
        try:
            self._s3.retried(lambda: self._s3.client.head_bucket(Bucket=self._s3.bucket))
        except ObjectMissing:
            self._s3.retried(lambda: self._s3.client.create_bucket(Bucket=self._s3.bucket))

    def server_time(self, key: str | None = None) -> datetime:
        """The storage's clock, to the second, as its answers carry it. Asks about ``key`` where one is given, as those
        must who may not list the bucket.
        """
        answer = self._s3.retried(
            lambda: (
                self._s3.client.head_bucket(Bucket=self._s3.bucket)
                if key is None
                else self._s3.client.head_object(Bucket=self._s3.bucket, Key=key)
            )
        )
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def put(
        self,
        key: str,
        body: Body,
        *,
        metadata: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> None:
        """Store ``body`` under ``key``, whole or not at all."""
        self._s3.retried(
            lambda: self._s3.client.put_object(
                Bucket=self._s3.bucket,
                Key=key,
                Body=from_start(body),
                Metadata=metadata or {},
                ContentType=content_type,
            )
        )

    def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
        """Store ``body`` in place of the version with this ETag, or of nothing; returns the ETag of what is stored.

        Raises ObjectChanged where something else is there, which may be ``body``: that of an earlier try whose answer
        was lost. A server that knows no conditions stores it over whatever is there, or raises StorageUnavailable.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            stored = self._s3.retried(
                lambda: self._s3.client.put_object(
                    Bucket=self._s3.bucket, Key=key, Body=body, ContentType="application/json", **condition
                )
            )
        except (ObjectMissing, PreconditionFailed) as error:
            raise ObjectChanged from error
        return stored["ETag"].strip('"')

    def honours_conditions(self, key: str) -> bool:
        """Whether the server stores what ``replace`` is to store, and nothing else. Has an object under ``key`` for a
        moment.
        """
        self._replaces(key, None)
        try:
            # Whatever the answer was, which may be that of a second try.
            etag = self.head(key).etag
        except ObjectMissing:
            return False
        honoured = not self._replaces(key, None) and not self._replaces(key, _NO_ETAG) and self._replaces(key, etag)
        self.delete(key)
        return honoured

    def _replaces(self, key: str, etag: str | None) -> bool:
        try:
            self.replace(key, b"", etag=etag)
        except (ObjectChanged, CallRefused):
            return False
        return True

    def get(self, key: str) -> bytes:
        """The whole object; for small ones."""
        return self.get_with_etag(key)[0]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """The whole object and its ETag; for small ones."""

        def read() -> tuple[bytes, str]:
            answer = self._s3.client.get_object(Bucket=self._s3.bucket, Key=key)
            return answer["Body"].read(), answer["ETag"].strip('"')

        return self._s3.retried(read)

    def head(self, key: str) -> ObjectInfo:
        """The object's size, ETag and metadata."""
        found = self._s3.retried(lambda: self._s3.client.head_object(Bucket=self._s3.bucket, Key=key))
        return ObjectInfo(key, found["ContentLength"], found["ETag"].strip('"'), found.get("Metadata", {}))

    def read_range(self, key: str, start: int, end: int, *, etag: str) -> bytes:
        """Bytes ``start`` to ``end`` (exclusive) of one version of an object.

        An interrupted body is continued at its last good byte. Raises ObjectChanged when the object's ETag is not
        ``etag``, the object ends before ``end`` or is gone.
        """
        received = bytearray()

        def continue_reading() -> None:
            answer = self._s3.client.get_object(
                Bucket=self._s3.bucket, Key=key, Range=f"bytes={start + len(received)}-{end - 1}", IfMatch=etag
            )
            if answer["ETag"].strip('"') != etag:
                raise ObjectChanged
            for chunk in answer["Body"].iter_chunks(_STREAM_CHUNK):
                received.extend(chunk)

        while len(received) < end - start:
            try:
                self._s3.retried(continue_reading)
            except (ObjectMissing, PreconditionFailed) as error:
                raise ObjectChanged from error
        return bytes(received)

    def exists(self, key: str) -> bool:
        try:
            self.head(key)
        except ObjectMissing:
            return False
        return True

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ListedObject]:
        """The objects under ``prefix`` in lexical order."""
        token: str | None = None
        given = 0
        while limit is None or given < limit:
            wanted = 1000 if limit is None else min(1000, limit - given)
            more: dict[str, Any] = {"ContinuationToken": token} if token else {}
            page = self._s3.retried(
                lambda wanted=wanted, more=more: self._s3.client.list_objects_v2(  # type: ignore[misc]
                    Bucket=self._s3.bucket, Prefix=prefix, MaxKeys=wanted, **more
                )
            )
            for entry in page.get("Contents", []):
                yield ListedObject(entry["Key"], entry["Size"], entry["LastModified"])
                given += 1
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token:
                return

    def delete(self, *keys: str) -> None:
        """Remove objects; those that are not there are no error."""
        # One by one: not every server takes batch deletes from current clients.
        with ThreadPoolExecutor(_DELETE_THREADS) as threads:
            list(threads.map(self._delete_one, keys))

    def _delete_one(self, key: str) -> None:
        self._s3.retried(lambda: self._s3.client.delete_object(Bucket=self._s3.bucket, Key=key))

    def presign_upload(self, key: str, *, max_bytes: int, seconds: int) -> PresignedForm:
        """A form for uploading exactly this key, 1 to ``max_bytes`` bytes, for ``seconds``."""
        made = self._s3.retried(
            lambda: self._s3.public_client.generate_presigned_post(
                self._s3.bucket, key, Conditions=[["content-length-range", 1, max_bytes]], ExpiresIn=seconds
            )
        )
        return PresignedForm(made["url"], made["fields"])

    def presign_download(self, key: str, *, filename: str, seconds: int) -> str:
        """A link to one object, which browsers save as ``filename``, for ``seconds``."""
        params = {
            "Bucket": self._s3.bucket,
            "Key": key,
            "ResponseContentDisposition": f'attachment; filename="{filename}"',
            "ResponseContentType": "application/x-ndjson",
        }
        return self._s3.retried(
            lambda: self._s3.public_client.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)
        )

    def abort_multiparts(self, prefix: str, *, before: datetime | None = None) -> int:
        """Drop uploads under ``prefix`` that were begun (before then) and never completed; returns how many."""
        return abort_uploads(self._s3, prefix, before)

    def begin_multipart(self, key: str) -> MultipartUpload:
        """Begin an object that is put together from parts and appears when they are completed."""
        return MultipartUpload.begin(self._s3, key)
