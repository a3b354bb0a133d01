"""What `labelworks doctor` says of a storage, asked of real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from moto.moto_server import werkzeug_app
from pydantic import SecretStr

from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.doctor.finding import Finding
from serve_app.doctor.models import examine_tokenizers
from serve_app.doctor.storage import examine_storage
from serve_app.embedded.ports import free_port
from tests.integration.storage.conftest import S3Server, bucket_of_its_own, running_moto

CHECKS = [
    "bucket",
    "clock",
    "write objects",
    "read objects",
    "list objects",
    "join objects",
    "list stray uploads",
    "delete objects",
    "client's links",
]


def wrong(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.ok]


def test_a_bucket_in_order_passes_every_check_and_holds_nothing_new(server: S3Server, store: ObjectStore) -> None:
    findings = list(examine_storage(server.settings()))

    assert [finding.check for finding in findings] == CHECKS
    assert wrong(findings) == []
    assert "also from web pages" in findings[-1].found
    assert {finding.advice for finding in findings} == {""}
    assert list(store.list("doctor/")) == []


def test_a_bucket_that_is_not_there_is_the_only_thing_said(server: S3Server, store: ObjectStore) -> None:
    findings = list(examine_storage(server.settings(bucket="nobodys-bucket")))

    assert [finding.check for finding in wrong(findings)] == ["bucket"]
    assert len(findings) == 1
    assert "nobodys-bucket" in findings[0].found
    assert "LABELWORKS_S3_BUCKET" in findings[0].advice


def test_wrong_credentials_are_said_to_be_refused(gateway_server: S3Server, gateway_store: ObjectStore) -> None:
    settings = gateway_server.settings().model_copy(update={"s3_secret_key": SecretStr("another-secret")})

    (finding,) = examine_storage(settings)

    assert not finding.ok
    assert "HeadBucket answered 403" in finding.found
    assert "another-secret" not in json.dumps([finding.found, finding.advice])


def test_a_public_address_that_clients_cannot_reach_is_named(server: S3Server, store: ObjectStore) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = server.settings().model_copy(update={"s3_public_endpoint": nowhere})

    (finding,) = wrong(list(examine_storage(settings)))

    assert finding.check == "client's links"
    assert nowhere in finding.found
    assert "LABELWORKS_S3_PUBLIC_ENDPOINT" in finding.advice


@pytest.fixture
def bucket_of_rules(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A bucket of its own at a server that lets pages do what the bucket's CORS rules say."""
    # Unless told so before its first request, it lets every page do everything.
    monkeypatch.setattr(werkzeug_app, "DISABLE_GLOBAL_CORS", True)
    with running_moto() as server:
        yield bucket_of_its_own(server)


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ([], "a web page cannot upload or download: the bucket has no CORS rule for POST and GET"),
        (["POST"], "a web page cannot download: the bucket has no CORS rule for GET"),
        (["GET", "HEAD"], "a web page cannot upload: the bucket has no CORS rule for POST"),
    ],
)
def test_what_web_pages_alone_lack_is_no_failure_but_said_with_the_rule_that_mends_it(
    bucket_of_rules: Settings, allowed: list[str], said: str
) -> None:
    if allowed:
        allow_pages(bucket_of_rules, allowed)

    links = list(examine_storage(bucket_of_rules))[-1]

    assert links.ok
    assert said in links.found
    assert f"aws s3api put-bucket-cors --endpoint-url {bucket_of_rules.s3_endpoint} --bucket" in links.advice
    assert '"AllowedMethods": ["POST", "GET"]' in links.advice
    assert "origin" in links.advice


def test_a_bucket_whose_rules_let_pages_upload_and_download_needs_no_advice(bucket_of_rules: Settings) -> None:
    allow_pages(bucket_of_rules, ["POST", "GET"])

    links = list(examine_storage(bucket_of_rules))[-1]

    assert (links.ok, links.advice) == (True, "")
    assert "also from web pages" in links.found


def allow_pages(bucket: Settings, methods: list[str]) -> None:
    ObjectStore(bucket)._s3.client.put_bucket_cors(
        Bucket=bucket.s3_bucket,
        CORSConfiguration={"CORSRules": [{"AllowedMethods": methods, "AllowedOrigins": ["*"]}]},
    )


def test_clocks_that_differ_are_found(server: S3Server, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # The machine's own clock cannot be moved for a test.
    late = datetime.now(UTC) - timedelta(minutes=10)
    monkeypatch.setattr(ObjectStore, "server_time", lambda _self: late)

    (finding,) = wrong(list(examine_storage(server.settings())))

    assert finding.check == "clock"
    assert "600 s" in finding.found


def test_an_engine_whose_weights_are_not_there_is_named_with_what_installs_it(gateway_server: S3Server) -> None:
    settings = gateway_server.settings().model_copy(
        update={"models": ("embedding", "static"), "model_weights": {"embedding": "/no/such/folder"}}
    )

    embedding, static = examine_tokenizers(settings)

    assert static.ok
    assert not embedding.ok
    assert "/no/such/folder" in embedding.found
    assert "embedding" in embedding.advice
