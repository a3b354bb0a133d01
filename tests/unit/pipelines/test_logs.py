"""Log lines as ops collect them."""

import json
import logging
from collections.abc import Callable

import pytest

from pipelines.logs import configure_logging, current_request, log_fields, process_fields
from pipelines.settings import Settings


def lines(written: Callable[[], str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in written().splitlines()]


def test_every_line_is_json_with_the_fields_of_the_process_and_of_the_place(written: Callable[[], str]) -> None:
    configure_logging(Settings(), {"job_id": "batch_1", "attempt": 2})

    with log_fields(request_id="r1"):
        logging.getLogger("serve_app.registry").info("inside %s", "here")
    logging.getLogger("pipelines.driver").warning("outside")

    inside, outside = lines(written)
    assert inside["message"] == "inside here"
    assert (inside["job_id"], inside["attempt"], inside["request_id"]) == ("batch_1", 2, "r1")
    assert (inside["level"], inside["logger"]) == ("INFO", "serve_app.registry")
    assert "time" in inside
    assert "request_id" not in outside
    assert outside["attempt"] == 2


@pytest.mark.parametrize(("fields", "found"), [({"request_id": "r1"}, "r1"), ({"request_id": ""}, None), ({}, None)])
def test_the_request_that_code_runs_for_is_known_to_it(fields: dict[str, str], found: str | None) -> None:
    with log_fields(**fields):
        assert current_request() == found
    assert current_request() is None


def test_an_exception_stays_on_one_line(written: Callable[[], str]) -> None:
    configure_logging(Settings())

    try:
        raise ValueError("a\nb")
    except ValueError:
        logging.getLogger("models.x").exception("failed")

    (line,) = lines(written)
    assert "ValueError: a\nb" in str(line["exception"])


def test_configuring_again_replaces_the_fields_and_writes_no_line_twice(written: Callable[[], str]) -> None:
    configure_logging(Settings(), {"job_id": "batch_1"})
    configure_logging(Settings(), {"job_id": "batch_2"})

    logging.getLogger("serve_app").info("once")

    assert [line["job_id"] for line in lines(written)] == ["batch_2"]
    assert process_fields() == {"job_id": "batch_2"}


def test_text_and_the_level_are_the_operators_choice(written: Callable[[], str]) -> None:
    configure_logging(Settings(log_format="text", log_level="WARNING"))

    logging.getLogger("serve_app").info("quiet")
    logging.getLogger("serve_app").warning("loud")

    text = written()
    assert text.endswith("WARNING serve_app: loud\n")
    assert "quiet" not in text
