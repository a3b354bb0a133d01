"""The part of the fake service that is about classifiers, keys, usage and preview calls."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

CREATED_AT = "2026-11-23T20:57:29Z"
AMOUNTS = {"jobs": 1, "items": 3, "items_failed": 1, "calls": 2, "tokens": 40, "cost_usd": 0.0000032}


class FakeAccount:
    """Remembers what it was asked; ``answer`` gives a status and a body, or None for a call of another kind."""

    def __init__(self) -> None:
        self.classifiers: dict[str, list[dict[str, Any]]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._created: dict[str, tuple[int, Any]] = {}

    def answer(self, method: str, target: str, body: bytes, idempotency_key: str | None) -> tuple[int, Any] | None:
        url = urlsplit(target)
        _, _, kind, *rest = unquote(url.path).split("/")
        if kind not in ("classifiers", "keys", "usage", "classify", "tag"):
            return None
        query = dict(parse_qsl(url.query))
        self.asked.append((f"{method} {unquote(url.path)}", query))
        sent = json.loads(body) if body else {}
        if kind == "usage":
            day = {"date": query.get("from", "2026-11-24"), **AMOUNTS}
            return HTTPStatus.OK, {"account": query.get("account", "acme"), "days": [day], "total": AMOUNTS}
        if kind in ("classify", "tag"):
            name = sent.get("classifier", "").partition("@")[0]
            return HTTPStatus.OK, _previewed(kind, self.classifiers[name][-1] | sent if name else sent)
        if kind == "keys":
            return self._keys(method, rest, sent)
        if idempotency_key is None:
            return self._classifiers(method, rest, sent)
        if idempotency_key not in self._created:
            self._created[idempotency_key] = self._classifiers(method, rest, sent)
        return self._created[idempotency_key]

    def _classifiers(self, method: str, rest: list[str], sent: dict[str, Any]) -> tuple[int, Any]:
        if method == "POST":
            versions = self.classifiers.setdefault(sent["name"], [])
            number = len(versions) + 1
            defaults = {"descriptions": {}, "examples": {}, "source_type": None, "mode": "single", "threshold": 0.3}
            made = {"version": number, "classifier": f"{sent['name']}@v{number}", "created_at": CREATED_AT}
            versions.append(defaults | sent | made)
            return HTTPStatus.CREATED, versions[-1]
        if not rest:
            return HTTPStatus.OK, [
                {
                    "name": name,
                    "version": len(versions),
                    "versions": list(range(1, len(versions) + 1)),
                    "mode": versions[-1]["mode"],
                    "label_count": len(versions[-1]["labels"]),
                    "created_at": CREATED_AT,
                }
                for name, versions in self.classifiers.items()
            ]
        name, _, version = rest[0].partition("@v")
        if name not in self.classifiers:
            return _not_found(f"There is no classifier {name}")
        if method == "DELETE":
            del self.classifiers[name]
            return HTTPStatus.OK, {"name": name, "version": None, "deleted": True}
        return HTTPStatus.OK, self.classifiers[name][int(version or 0) - 1]

    def _keys(self, method: str, rest: list[str], sent: dict[str, Any]) -> tuple[int, Any]:
        if method == "POST":
            key = {"id": f"key_{len(self.keys)}", "account": "acme", "name": None, "expires_at": None, **sent}
            self.keys[key["id"]] = {**key, "prefix": "lw_secr", "created_at": CREATED_AT}
            return HTTPStatus.CREATED, {**self.keys[key["id"]], "key": "lw_secret"}
        if method == "DELETE":
            if self.keys.pop(rest[0], None) is None:
                return _not_found(f"There is no key {rest[0]}")
            return HTTPStatus.OK, {"id": rest[0], "deleted": True}
        return HTTPStatus.OK, list(self.keys.values())


def _previewed(kind: str, sent: dict[str, Any]) -> Any:
    scored = {"label": sent["labels"][0], "confidence": 0.9}

    def result(text: str) -> dict[str, Any]:
        if not text:
            return {"error": {"code": "empty_text", "message": '"text" is empty'}}
        return {**(scored if kind == "classify" else {"labels": [scored]}), "tokens": 2, "cached": False}

    if "texts" in sent:
        return {"results": [result(text) for text in sent["texts"]], "total_tokens": 2, "latency_ms": 1.5}
    return {**result(sent["text"]), "latency_ms": 1.5}


def _not_found(message: str) -> tuple[int, Any]:
    return HTTPStatus.NOT_FOUND, {"code": "NOT_FOUND", "message": message, "details": {}}
