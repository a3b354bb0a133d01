"""What `labelworks doctor` says of a storage, asked of real servers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from pipelines.object_store import ObjectStore
from serve_app.doctor.finding import Finding
from serve_app.doctor.models import examine_tokenizers
from serve_app.doctor.storage import examine_storage
from serve_app.embedded.gateway import free_port
from tests.integration.storage.conftest import S3Server

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
    assert "another-secret" not in json.dumps([finding.found, finding.advice])


def test_a_public_address_that_clients_cannot_reach_is_named(server: S3Server, store: ObjectStore) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = server.settings().model_copy(update={"s3_public_endpoint": nowhere})

    (finding,) = wrong(list(examine_storage(settings)))

    assert finding.check == "client's links"
    assert nowhere in finding.found
    assert "LABELWORKS_S3_PUBLIC_ENDPOINT" in finding.advice


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
