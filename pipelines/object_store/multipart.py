"""Objects that are put together from parts."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.exceptions import ObjectChanged, ObjectMissing
from pipelines.object_store.connection import Body, BucketConnection, from_start
from pipelines.object_store.failures import PreconditionFailed

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

_UPLOADS_A_PAGE = 1000


class MultipartUpload:
    """Parts, numbered from 1, of an object to be. Parts may be sent from several threads."""

    def __init__(self, connection: BucketConnection, key: str, upload_id: str) -> None:
        self._s3 = connection
        self._object: dict[str, Any] = {"Bucket": connection.bucket, "Key": key}
        self._target: dict[str, Any] = {**self._object, "UploadId": upload_id}
        self._etags: dict[int, str] = {}

    @classmethod
    def begin(cls, connection: BucketConnection, key: str) -> MultipartUpload:
        made = connection.retried(
            lambda: connection.client.create_multipart_upload(
                Bucket=connection.bucket, Key=key, ContentType="application/x-ndjson"
            )
        )
        return cls(connection, key, made["UploadId"])

    def put_part(self, number: int, body: Body) -> None:
        part = self._s3.retried(
            lambda: self._s3.client.upload_part(**self._target, PartNumber=number, Body=from_start(body))
        )
        self._etags[number] = part["ETag"]

    def copy_part(self, number: int, source_key: str, *, etag: str) -> None:
        """A part that is a whole existing object, copied inside the storage.

        Raises ObjectChanged when the object's ETag is not ``etag``, or it is gone.
        """
        source: CopySourceTypeDef = {"Bucket": self._s3.bucket, "Key": source_key}
        try:
            part = self._s3.retried(
                lambda: self._s3.client.upload_part_copy(
                    **self._target, PartNumber=number, CopySource=source, CopySourceIfMatch=etag
                )
            )
        except (ObjectMissing, PreconditionFailed) as error:
            raise ObjectChanged from error
        self._etags[number] = part["CopyPartResult"]["ETag"]

    def complete(self) -> None:
        """Raises ObjectMissing when the upload was removed meanwhile."""
        parts: list[CompletedPartTypeDef] = [
            {"ETag": etag, "PartNumber": number} for number, etag in sorted(self._etags.items())
        ]
        try:
            self._s3.retried(
                lambda: self._s3.client.complete_multipart_upload(**self._target, MultipartUpload={"Parts": parts})
            )
        except ObjectMissing:
            # An earlier try may have completed it whose answer was lost: the object is there, the upload is not.
            self._s3.retried(lambda: self._s3.client.head_object(**self._object))

    def abort(self) -> None:
        """Give the upload up; one that is not there any more is no error."""
        with suppress(ObjectMissing):
            self._s3.retried(lambda: self._s3.client.abort_multipart_upload(**self._target))


def abort_uploads(connection: BucketConnection, prefix: str, before: datetime | None) -> int:
    """Drop uploads under ``prefix`` that were begun (before then) and never completed; returns how many."""
    pages = connection.retried(
        lambda: list(
            connection.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=connection.bucket, Prefix=prefix, PaginationConfig={"PageSize": _UPLOADS_A_PAGE}
            )
        )
    )
    found = [upload for page in pages for upload in page.get("Uploads", [])]
    stray = [upload for upload in found if before is None or upload["Initiated"] < before]
    for upload in stray:
        MultipartUpload(connection, upload["Key"], upload["UploadId"]).abort()
    return len(stray)
