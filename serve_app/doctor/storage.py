"""The bucket: whether it answers, what the service may do in it, its clock, and its links as clients use them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx

from pipelines.exceptions import LabelworksError
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.doctor.finding import Finding

# S3 refuses requests that are a quarter of an hour off; links made by a wrong clock expire early or late before.
_MOST_SKEW = timedelta(seconds=60)
_LINK_SECONDS = 60
_TIMEOUT_SECONDS = 20.0
_BODY = b'{"text":"doctor"}\n'
_PAGE = "https://example.com"


def examine_storage(settings: Settings) -> Iterator[Finding]:
    """Leaves nothing behind. Stops at the first finding that makes the rest pointless."""
    store = ObjectStore(settings, retry_seconds=settings.s3_api_retry_seconds)
    where = settings.s3_endpoint or f"AWS ({settings.s3_region})"
    try:
        theirs = store.server_time()
    except LabelworksError as error:
        yield Finding(
            "bucket",
            False,
            f"{settings.s3_bucket!r} at {where}: {error}",
            "Check LABELWORKS_S3_BUCKET, LABELWORKS_S3_ENDPOINT and LABELWORKS_S3_REGION, that the bucket exists and"
            " that these credentials may list it.",
        )
        return
    yield Finding("bucket", True, f"{settings.s3_bucket!r} at {where} answers")
    yield examine_clock("clock", datetime.now(UTC) - theirs)
    key = f"doctor/{uuid.uuid4().hex}.ndjson"
    rights = list(_rights(store, settings.s3_bucket, key))
    yield from rights
    if all(finding.ok for finding in rights):
        yield _links(store, settings, key)


def examine_clock(check: str, skew: timedelta) -> Finding:
    """Whether a machine's clock, which is ``skew`` ahead of the storage's, is near enough to it."""
    found = f"this machine's clock and the storage's are {abs(skew).total_seconds():.0f} s apart"
    if abs(skew) <= _MOST_SKEW:
        return Finding(check, True, found)
    return Finding(
        check, False, found, "Synchronise this machine's clock (NTP): S3 refuses signatures that are 15 minutes off."
    )


def _rights(store: ObjectStore, bucket: str, key: str) -> Iterator[Finding]:
    def join() -> None:
        upload = store.begin_multipart(f"{key}.joined")
        try:
            upload.copy_part(1, key, etag=store.head(key).etag)
        finally:
            upload.abort()

    checks: tuple[tuple[str, str, Callable[[], object]], ...] = (
        ("write objects", "s3:PutObject", lambda: store.put(key, _BODY)),
        ("read objects", "s3:GetObject", lambda: store.get(key)),
        ("list objects", "s3:ListBucket (on the bucket itself)", lambda: list(store.list("doctor/", limit=1))),
        ("join objects", "s3:PutObject, s3:GetObject and s3:AbortMultipartUpload", join),
        (
            "list stray uploads",
            "s3:ListBucketMultipartUploads (on the bucket itself)",
            lambda: store.abort_multiparts(key, before=datetime.now(UTC)),
        ),
        ("delete objects", "s3:DeleteObject", lambda: store.delete(key)),
    )
    for check, right, attempt in checks:
        try:
            attempt()
        except LabelworksError as error:
            yield Finding(check, False, str(error), f"Grant {right} on bucket {bucket!r} to these credentials.")
        else:
            yield Finding(check, True, f"allowed in bucket {bucket!r}")


def _links(store: ObjectStore, settings: Settings, key: str) -> Finding:
    """Upload and download as a client does: without credentials, at the public address."""
    where = settings.s3_public_endpoint or settings.s3_endpoint or "AWS"
    advice = (
        "Clients must reach this address: set LABELWORKS_S3_PUBLIC_ENDPOINT to the one under which they see the"
        " storage, and open it to them."
    )
    form = store.presign_upload(key, max_bytes=len(_BODY), seconds=_LINK_SECONDS)
    try:
        with httpx.Client(timeout=_TIMEOUT_SECONDS) as client:
            sent = client.post(form.url, data=form.fields, files={"file": _BODY})
            if sent.status_code != 204:
                return Finding("client's links", False, f"the upload form was answered with {sent.status_code}", advice)
            link = store.presign_download(key, filename="doctor.ndjson", seconds=_LINK_SECONDS)
            got = client.get(link)
            if got.content != _BODY:
                return Finding("client's links", False, f"the download was answered with {got.status_code}", advice)
            # While the object is there: a server may answer otherwise for one that is not.
            for_pages = (("upload", "POST", form.url), ("download", "GET", link))
            missing = [(act, method) for act, method, url in for_pages if not _open_to_pages(client, url, method)]
    except httpx.TransportError as error:
        return Finding("client's links", False, f"{where} cannot be reached: {error}", advice)
    finally:
        store.delete(key)
    found = f"upload and download work at {where}"
    if not missing:
        return Finding("client's links", True, f"{found}, also from web pages")
    acts = " or ".join(act for act, _ in missing)
    methods = " and ".join(method for _, method in missing)
    return Finding(
        "client's links",
        True,
        f"{found}, but a web page cannot {acts}: the bucket has no CORS rule for {methods}",
        _cors_advice(settings),
    )


def _open_to_pages(client: httpx.Client, url: str, method: str) -> bool:
    """Whether the storage lets a web page of any origin use ``method``, asked as a browser asks."""
    answer = client.options(url, headers={"Origin": _PAGE, "Access-Control-Request-Method": method})
    methods = {each.strip() for each in answer.headers.get("access-control-allow-methods", method).split(",")}
    return (
        answer.is_success and "access-control-allow-origin" in answer.headers and not methods.isdisjoint({method, "*"})
    )


def _cors_advice(settings: Settings) -> str:
    rule = {"AllowedMethods": ["POST", "GET"], "AllowedOrigins": ["https://your-page.example"], "AllowedHeaders": ["*"]}
    rules = json.dumps({"CORSRules": [rule]})
    endpoint = f" --endpoint-url {settings.s3_endpoint}" if settings.s3_endpoint else ""
    return (
        "Only web pages that send or fetch files themselves need a rule; with the page's origin in it: aws s3api"
        f" put-bucket-cors{endpoint} --bucket {settings.s3_bucket} --cors-configuration '{rules}'. This asked as"
        f" {_PAGE}, and so does not see a rule that is for the page's origin alone."
    )
