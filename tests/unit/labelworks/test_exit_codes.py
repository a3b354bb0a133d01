"""What scripts learn from the exit codes of commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.labelworks.conftest import Command


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_classify_is_exit_code_3_for_bad_lines_alone(labelworks: Command, options: list[str]) -> None:
    Path("good.ndjson").write_bytes(b'{"text":"one"}\n')
    labelworks("classify", "good.ndjson", "--labels", "a", *options)
    Path("bad.ndjson").write_bytes(b'{"text":null}\n')
    labelworks("classify", "bad.ndjson", "--labels", "a", *options, exit_code=3)
    assert Path("bad.ndjson.results.ndjson").read_bytes().count(b'"error"') == 1


def test_a_text_field_that_no_line_has_is_refused_before_a_job_is_made(labelworks: Command) -> None:
    Path("body.ndjson").write_bytes(b'{"id":1,"body":"x"}\n')
    result = labelworks("classify", "body.ndjson", "--text-field", "boddy", "--labels", "a", exit_code=1)
    assert "no line with a field 'boddy'; its first has: id, body" in result.stderr
    assert not labelworks.service.seen


def test_watch_does_not_say_that_nothing_is_going_where_older_jobs_may_be(labelworks: Command) -> None:
    old = labelworks.service.add_completed(b"{}\n")
    old.status = "processing"
    newer = [labelworks.service.add_completed(b"{}\n") for _ in range(20)]
    for job in newer:
        job.status = "pending"
    result = labelworks("watch", exit_code=1)
    assert result.stderr.startswith("labelworks: None of the 20 newest jobs is processing, and older ones are not")
    labelworks("watch", old.job_id)
    newer[0].status = "processing"
    labelworks("watch")
    del labelworks.service.jobs[newer[1].job_id]
    assert "None of the 20 newest" in labelworks("watch", exit_code=1).stderr
    del labelworks.service.jobs[newer[2].job_id]
    assert "No job is processing." in labelworks("watch").stderr
