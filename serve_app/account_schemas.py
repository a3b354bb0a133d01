"""What clients send and receive about their keys and their usage. All of it is ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from serve_app.accounts import ApiKey, IssuedKey
from serve_app.schemas import cost_usd
from serve_app.task_fields import AcceptedFields, FieldError
from serve_app.usage import Usage

_LATEST = "9999-12-31T23:59:59Z"
_TIME_PATTERN = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _rfc_3339(value: Any) -> Any:
    # Digits alone would be taken for the seconds since 1970.
    if not isinstance(value, str) or not _TIME_PATTERN.fullmatch(value):
        raise ValueError("must be a time with its zone as text, such as 2027-01-31T00:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"must lie between now and {_LATEST}") from None


_UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class CreateKey(AcceptedFields):
    """A new key. Every field may be left out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "nightly export", "expires_at": "2027-01-31T00:00:00Z"}]},
    )

    account: str | None = Field(
        None, description="With the admin key: whose key it is to be; a new name is a new account."
    )
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] | None = Field(
        None, description="What the key is for."
    )
    expires_at: Annotated[_UtcTime, BeforeValidator(_rfc_3339)] | None = Field(
        None, description=f"When the key stops working, {_LATEST} at the latest; none: never."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            seen = self.expires_at.isoformat().replace("+00:00", "Z")
            raise FieldError("expires_at", f"expires_at must lie in the future, not at {seen}")
        return self


class KeyListed(BaseModel):
    """A key without its secret. ``prefix`` is how the secret begins."""

    id: str = Field(examples=["key_3f0c9a51d27be846"])
    account: str = Field(examples=["acme"])
    name: str | None = Field(examples=["nightly export"])
    prefix: str = Field(examples=["lw_Zk3f"])
    created_at: datetime
    expires_at: _UtcTime | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls(**{name: getattr(key, name) for name in KeyListed.model_fields})


class KeyCreated(KeyListed):
    """The only answer that ever holds the secret, ``key``."""

    key: str = Field(examples=["lw_Zk3fR0yQmV8h1c5nXJ2bT7uEoLwA9dGsKpI4aYqDfHM"])

    @classmethod
    def issued(cls, issued: IssuedKey) -> Self:
        return cls(key=issued.secret, **KeyListed.of(issued.key).model_dump())


class KeyRevoked(BaseModel):
    id: str
    deleted: Literal[True] = True


class UsageAmounts(BaseModel):
    jobs: int = Field(description="Jobs completed; failed and cancelled ones do not count.")
    items: int = Field(description="Items of those jobs and texts of preview calls.")
    items_failed: int = Field(description="Those of them that were answered with an error.")
    calls: int = Field(description="Preview calls answered.")
    tokens: int
    cost_usd: float = Field(description="Of the tokens, at the price that is configured now.")

    @classmethod
    def of(cls, usage: Usage, price_per_million_tokens: float, **others: Any) -> Self:
        return cls(cost_usd=cost_usd(usage.tokens, price_per_million_tokens), **usage.model_dump(), **others)


class UsageDay(UsageAmounts):
    date: date


class UsageReport(BaseModel):
    """Every day from ``from`` to ``to`` (UTC, both included), also those without any usage, and their sum."""

    model_config = ConfigDict(validate_by_name=True)

    account: str
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    days: list[UsageDay]
    total: UsageAmounts

    @classmethod
    def of(cls, account: str, first: date, last: date, used: Mapping[date, Usage], price: float) -> Self:
        days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
        return cls(
            account=account,
            first=first,
            last=last,
            days=[UsageDay.of(used.get(day, Usage()), price, date=day) for day in days],
            total=UsageAmounts.of(sum(used.values(), Usage()), price),
        )
