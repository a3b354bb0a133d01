from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from serve_app.account_schemas import CreateKey, KeyListed
from serve_app.accounts import ApiKey


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2099-01-31T00:00:00+05:30", "2099-01-30T18:30:00Z"),
        ("2099-01-31t00:00:00.5z", "2099-01-31T00:00:00.500000Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59+14:00", "9999-12-31T09:59:59Z"),
    ],
)
def test_when_a_key_expires_is_kept_in_utc(sent: str, shown: str) -> None:
    assert CreateKey.model_validate({"expires_at": sent}).model_dump(mode="json")["expires_at"] == shown


def test_a_key_that_was_stored_with_another_zone_is_shown_in_utc() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    expires_at = datetime(2099, 1, 31, tzinfo=india)
    key = ApiKey(id="key_1", account="acme", created_at=datetime.now(UTC), prefix="lw_Zk3f", expires_at=expires_at)
    assert KeyListed.of(key).model_dump(mode="json")["expires_at"] == "2099-01-30T18:30:00Z"


def test_priority_and_cache_change_nothing_of_a_key() -> None:
    assert CreateKey.model_validate({"name": "n", "priority": "high", "cache": False}).name == "n"


@pytest.mark.parametrize(
    "sent",
    [
        "4102444800",
        "2099-01-31",
        "2099-01-31T00:00:00",
        "2099-01-31T00:00Z",
        "2099-02-30T00:00:00Z",
        "soon",
        4102444800,
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(sent: str | int) -> None:
    with pytest.raises(ValidationError) as refused:
        CreateKey.model_validate({"expires_at": sent})
    assert refused.value.errors()[0]["loc"] == ("expires_at",)


@pytest.mark.parametrize("sent", ["9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01"])
def test_a_time_that_no_utc_date_shows_is_refused_with_the_latest_that_may_be(sent: str) -> None:
    with pytest.raises(ValidationError, match="must lie between now and 9999-12-31T23:59:59Z"):
        CreateKey.model_validate({"expires_at": sent})
