"""Answers that are good by their status and not the service's."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from labelworks.errors import UnexpectedAnswerError
from tests.unit.labelworks.conftest import Command, Perform
from tests.unit.labelworks.fake_service import FakeService

LOGIN_PAGE = b"<!doctype html><title>Log in</title>"
ANSWERS = [LOGIN_PAGE, b"\xff", b"null", b'{"hello":1}', b'[{"hello":1}]']
CALLS: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("batches.create", [], {"labels": ["a"]}),
    ("batches.retrieve", ["batch_1"], {}),
    ("batches.wait", ["batch_1"], {}),
    ("batches.list", [], {}),
    ("batches.results", ["batch_1"], {}),
    ("batches.partial_results", ["batch_1"], {}),
    ("classifiers.create", ["name"], {"labels": ["a"]}),
    ("classifiers.retrieve", ["name"], {}),
    ("classifiers.list", [], {}),
    ("keys.create", [], {}),
    ("keys.list", [], {}),
    ("usage.retrieve", [], {}),
    ("preview.classify", ["x"], {"labels": ["a"]}),
    ("preview.tag_batch", [["x"]], {"labels": ["a"]}),
]


@pytest.mark.parametrize(("name", "arguments", "options"), CALLS)
def test_an_answer_that_is_not_the_services_is_named_with_its_address_and_beginning(
    perform: Perform, service: FakeService, name: str, arguments: list[Any], options: dict[str, Any]
) -> None:
    for body in ANSWERS:
        service.seen.clear()
        service.misbehave("/v1/", status=200, body=body)
        with pytest.raises(UnexpectedAnswerError, match=re.escape(service.url)) as raised:
            perform(name)(*arguments, **options)
        assert (raised.value.status, raised.value.request_id) == (200, "req-1")
        assert repr(body.decode("utf-8", "replace")) in str(raised.value)
        assert len(service.seen) == 1


def test_an_empty_list_is_an_answer_and_an_empty_object_in_its_place_is_none(
    perform: Perform, service: FakeService
) -> None:
    service.misbehave("/v1/", status=200, body=b"[]")
    assert perform("batches.list")() == []
    service.misbehave("/v1/", status=200, body=b"{}")
    with pytest.raises(UnexpectedAnswerError):
        perform("batches.list")()


@pytest.mark.parametrize("name", ["batches.start", "batches.delete", "batches.cancel", "keys.revoke"])
def test_a_login_page_carries_nothing_out(perform: Perform, service: FakeService, name: str) -> None:
    service.misbehave("/v1/", status=200, body=LOGIN_PAGE)
    with pytest.raises(UnexpectedAnswerError, match="Log in"):
        perform(name)("id")


@pytest.mark.parametrize("command", [["list"], ["status", "batch_1"], ["watch", "batch_1"], ["usage"]])
def test_a_command_tells_of_a_login_page_in_one_line(labelworks: Command, command: list[str]) -> None:
    service = labelworks.service
    service.misbehave("/v1/", status=200, body=LOGIN_PAGE)
    said = labelworks(*command, exit_code=1).stderr
    assert said.startswith(f"labelworks: {service.url}/v1/")
    assert said.endswith(f"{LOGIN_PAGE.decode()!r}; base_url may name something else (200, request req-1)\n")
    service.misbehave("/v1/", status=200, body=LOGIN_PAGE)
    error = json.loads(labelworks(*command, "--json", exit_code=1).stdout)["error"]
    assert (error["type"], error["status"]) == ("UnexpectedAnswerError", 200)
