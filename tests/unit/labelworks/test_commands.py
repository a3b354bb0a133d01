"""The command line against a service on a real socket."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelworks.cli import app
from labelworks.commands.watch import _shown_jobs
from labelworks.types import Batch
from tests.unit.labelworks.conftest import TEXTS, Command
from tests.unit.labelworks.fake_service import API_KEY


def test_classify_writes_the_results_and_a_summary(labelworks: Command) -> None:
    result = labelworks("classify", "in.ndjson", "--labels", "a, b", "--out", "out.ndjson", exit_code=3)
    assert [json.loads(line).get("label") for line in Path("out.ndjson").read_text().splitlines()] == ["a", None]
    assert "1 classified, 1 errors, 7 tokens" in result.stderr
    assert result.stdout == ""


def test_classify_names_the_result_file_after_the_input(labelworks: Command) -> None:
    answer = json.loads(labelworks("classify", "in.ndjson", "--labels", "a", "--json", exit_code=3).stdout)
    assert answer["results_path"] == "in.ndjson.results.ndjson"
    assert answer["batch"]["requests_completed"] == 1
    assert Path(answer["results_path"]).exists()


def test_the_options_make_the_task(labelworks: Command) -> None:
    options = [
        "--labels",
        "a,b",
        "--label",
        "c, d",
        "--description",
        "a=first=1",
        "--example",
        "b=x",
        "--example",
        "b=y",
    ]
    labelworks("submit", "in.ndjson", *options, "--source-type", "note", "--mode", "multi", "--threshold", "0")
    (job,) = labelworks.service.jobs.values()
    assert job.task == {
        "labels": ["a", "b", "c, d"],
        "descriptions": {"a": "first=1"},
        "examples": {"b": ["x", "y"]},
        "source_type": "note",
        "mode": "multi",
        "threshold": 0.0,
    }


def test_options_go_before_the_task_file(labelworks: Command) -> None:
    Path("task.json").write_text('{"labels": ["x", "y"], "mode": "multi"}')
    labelworks("submit", "in.ndjson", "--task", "task.json", "--mode", "single")
    (job,) = labelworks.service.jobs.values()
    assert job.task == {"labels": ["x", "y"], "mode": "single"}


def test_submit_prints_the_job_id_alone(labelworks: Command) -> None:
    result = labelworks("submit", "in.ndjson", "--labels", "a")
    assert list(labelworks.service.jobs) == [result.stdout.strip()]
    assert labelworks.service.jobs[result.stdout.strip()].upload == TEXTS


def test_a_job_that_could_not_be_started_is_named_for_later(labelworks: Command) -> None:
    labelworks.service.misbehave("/start", status=409)
    result = labelworks("submit", "in.ndjson", "--labels", "a", exit_code=1)
    (job_id,) = labelworks.service.jobs
    assert f"labelworks start {job_id}" in result.stderr
    labelworks("start", job_id)
    assert labelworks.service.jobs[job_id].status == "completed"


def test_the_folder_of_the_results_is_looked_at_before_a_job_is_made(labelworks: Command) -> None:
    result = labelworks("classify", "in.ndjson", "--labels", "a", "--out", "none/out.ndjson", exit_code=1)
    assert "There is no folder" in result.stderr
    assert not labelworks.service.seen


def test_results_that_are_classified_for_go_to_a_file(labelworks: Command) -> None:
    result = labelworks("classify", "in.ndjson", "--labels", "a", "--out", "-", exit_code=1)
    assert "labelworks results JOB --out - prints them" in result.stderr
    assert not labelworks.service.seen
    assert list(Path().iterdir()) == [Path("in.ndjson")]


def test_results_never_take_the_place_of_the_texts(labelworks: Command) -> None:
    Path("link.ndjson").symlink_to("in.ndjson")
    Path("hard.ndjson").hardlink_to("in.ndjson")
    Path("in.ndjson.results.ndjson").symlink_to("in.ndjson")
    for out in (["--out", "in.ndjson"], ["--out", "./link.ndjson"], ["--out", "hard.ndjson"], []):
        result = labelworks("classify", "in.ndjson", "--labels", "a", *out, exit_code=1)
        assert "The results would replace the texts" in result.stderr
    assert Path("in.ndjson").read_bytes() == TEXTS
    assert not labelworks.service.seen


def test_a_job_whose_results_cannot_be_fetched_is_named(labelworks: Command) -> None:
    for _ in range(9):
        labelworks.service.misbehave("GET /storage", status=403)
    result = labelworks("classify", "in.ndjson", "--labels", "a", "--out", "my results", exit_code=1)
    (job_id,) = labelworks.service.jobs
    assert f"Started {job_id}" in result.stderr
    assert f"labelworks results {job_id} --out 'my results'" in result.stderr


def test_a_job_whose_upload_fails_is_removed(labelworks: Command) -> None:
    for _ in range(9):
        labelworks.service.misbehave("POST /storage", status=403)
    assert "is removed" in labelworks("classify", "in.ndjson", "--labels", "a", exit_code=1).stderr
    assert not labelworks.service.jobs
    labelworks.service.misbehave("DELETE", status=403)
    result = labelworks("submit", "in.ndjson", "--labels", "a", exit_code=1)
    (job_id,) = labelworks.service.jobs
    assert f"labelworks delete {job_id}" in result.stderr


def test_a_job_that_was_not_started_is_told_and_not_waited_for(labelworks: Command) -> None:
    labelworks.service.misbehave("/start", status=409)
    labelworks("submit", "in.ndjson", "--labels", "a", exit_code=1)
    (job_id,) = labelworks.service.jobs
    assert f"{job_id} was not started" in labelworks("watch", job_id, exit_code=3).stderr


def test_a_csv_file_is_submitted_by_its_text_column(labelworks: Command) -> None:
    Path("in.csv").write_text("body\nhello\n")
    job_id = labelworks("submit", "in.csv", "--text-field", "body", "--labels", "a").stdout.strip()
    assert labelworks.service.jobs[job_id].upload == b'{"text": "hello"}\n'


@pytest.mark.parametrize(
    "options",
    [[], ["--labels", " , "], ["--labels", "a", "--description", "a"], ["--labels", "a", "--threshold", "2"]],
)
def test_wrong_usage_is_exit_code_2_and_sends_nothing(labelworks: Command, options: list[str]) -> None:
    labelworks("classify", "in.ndjson", *options, exit_code=2)
    assert not labelworks.service.seen


def test_watch_follows_several_jobs_to_their_ends(labelworks: Command) -> None:
    jobs = [labelworks("submit", "in.ndjson", "--labels", "a").stdout.strip() for _ in range(2)]
    batches = json.loads(labelworks("watch", *jobs, "--json").stdout)
    assert [(batch["job_id"], batch["status"]) for batch in batches] == [(job, "completed") for job in jobs]


def test_a_failed_job_is_exit_code_3(labelworks: Command) -> None:
    labelworks.service.end = "failed"
    result = labelworks("classify", "in.ndjson", "--labels", "a", exit_code=3)
    assert "The input is not NDJSON" in result.stderr
    (job_id,) = labelworks.service.jobs
    labelworks("watch", job_id, exit_code=3)
    labelworks("status", job_id, exit_code=3)


def test_an_error_is_one_line_and_exit_code_1(labelworks: Command) -> None:
    result = labelworks("status", "batch_none", exit_code=1)
    assert result.stderr == "labelworks: There is no job batch_none. (404 NOT_FOUND, request req-1)\n"


def test_an_error_is_json_for_scripts(labelworks: Command) -> None:
    error = json.loads(labelworks("status", "batch_none", "--json", exit_code=1).stdout)["error"]
    assert (error["status"], error["code"], error["request_id"]) == (404, "NOT_FOUND", "req-1")


def test_results_go_to_a_file_or_to_standard_output(labelworks: Command) -> None:
    job = labelworks.service.add_completed(b'{"label":"a"}\n')
    labelworks("results", job.job_id)
    assert Path(f"{job.job_id}.ndjson").read_bytes() == job.results
    assert labelworks("results", job.job_id, "--out", "-").stdout_bytes == job.results


def test_list_shows_every_job(labelworks: Command) -> None:
    job = labelworks.service.add_completed(b"{}\n" * 1234)
    shown = labelworks("list").stdout
    assert job.job_id in shown
    assert "1,234" in shown
    assert json.loads(labelworks("list", "--json").stdout)[0]["created_at"] == "2026-11-23T20:57:29.716180Z"


def test_delete_asks_first(labelworks: Command) -> None:
    job = labelworks.service.add_completed(b"{}\n")
    labelworks("delete", job.job_id, stdin="n\n", exit_code=1)
    assert labelworks.service.jobs
    labelworks("delete", job.job_id, stdin="y\n")
    assert not labelworks.service.jobs


def test_cancel_says_what_became_of_the_job(labelworks: Command) -> None:
    job = labelworks.service.add_completed(b"{}\n")
    job.status = "processing"
    assert "failed" in labelworks("cancel", job.job_id).stderr


def test_without_settings_the_stack_of_this_folder_is_used(
    labelworks: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = labelworks.service.add_completed(b"{}\n")
    port = int(labelworks.service.url.rpartition(":")[2])
    Path(".labelworks").mkdir()
    Path(".labelworks/stack.json").write_text(json.dumps({"http_port": port, "api_key": API_KEY, "s3_port": 1}))
    result = CliRunner().invoke(app, ["list", "--json"], env={"LABELWORKS_API_KEY": None, "LABELWORKS_BASE_URL": None})
    assert json.loads(result.stdout)[0]["job_id"] == job.job_id


@pytest.fixture
def local_stack(labelworks: Command) -> Command:
    """The command line with nothing in its environment, beside the stack of the folder."""
    Path(".labelworks").mkdir()
    port = int(labelworks.service.url.rpartition(":")[2])
    Path(".labelworks/stack.json").write_text(json.dumps({"http_port": port, "api_key": API_KEY}))
    return Command(labelworks.service, labelworks.folder, LABELWORKS_API_KEY=None, LABELWORKS_BASE_URL=None)


def test_a_key_or_an_address_alone_is_completed_by_the_stack_of_this_folder(local_stack: Command) -> None:
    assert "401" in local_stack("list", "--api-key", "lw_other", exit_code=1).stderr
    local_stack("list", "--api-key", API_KEY)
    local_stack("list", "--base-url", f"{local_stack.service.url}/")


def test_the_key_of_the_stack_is_sent_to_no_other_address(local_stack: Command) -> None:
    other = local_stack.service.url.replace("127.0.0.1", "localhost")
    result = local_stack("list", "--base-url", other, exit_code=1)
    assert f"No API key for {other}: give --api-key" in result.stderr
    assert not local_stack.service.seen


def test_a_missing_address_is_asked_for_by_its_option(labelworks: Command) -> None:
    alone = Command(labelworks.service, labelworks.folder, LABELWORKS_BASE_URL=None)
    assert "--base-url" in alone("list", exit_code=1).stderr


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_file_of_the_stack_is_named(local_stack: Command, content: str) -> None:
    Path(".labelworks/stack.json").write_text(content)
    for command in ("list", "env"):
        assert local_stack(command, exit_code=1).stderr.startswith("labelworks: .labelworks/stack.json is damaged")
    local_stack("list", "--api-key", API_KEY, "--base-url", local_stack.service.url)


@pytest.mark.parametrize("key", ["lw_\u00e9secret", "lw_secret\n", "lw_ secret"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(labelworks: Command, key: str) -> None:
    result = Command(labelworks.service, labelworks.folder, LABELWORKS_API_KEY=key)("list", exit_code=1)
    assert "LABELWORKS_API_KEY" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [["status", ""], ["keys", "revoke", ""], ["classifiers", "show", ""], ["list", "--base-url", "http://x:y"]],
)
def test_an_argument_that_is_none_is_told_in_one_line(labelworks: Command, arguments: list[str]) -> None:
    stderr = labelworks(*arguments, exit_code=1).stderr
    assert stderr.startswith("labelworks: The ")
    assert stderr.count("\n") == 1
    assert not labelworks.service.seen


def test_a_key_cannot_outlive_the_calendar(labelworks: Command) -> None:
    assert "--days" in labelworks("keys", "create", "--days", 99_999_999, exit_code=2).stderr
    labelworks("keys", "create", "--days", 365_000)


def test_the_bars_of_watch_show_any_error_of_a_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    state = {"requests_total": 0, "requests_completed": 0, "created_at": "2026-11-23T20:57:29Z"}
    with _shown_jobs() as show:
        show(Batch.from_json({"job_id": "batch_1", "status": "failed", "error": "found [/old] :key:", **state}))
    assert "found [/old] :key:" in capsys.readouterr().err


def test_partial_results_name_their_items(labelworks: Command) -> None:
    job = labelworks.service.add_completed(b"".join(b'{"label":"a%d"}\n' % item for item in range(5)))
    expected = [{"item": item, "label": f"a{item}"} for item in (0, 1, 4)]
    labelworks("results", job.job_id, "--partial")
    lines = Path(f"{job.job_id}.partial.ndjson").read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert labelworks("results", job.job_id, "--partial", "--out", "-").stdout.splitlines() == lines


def test_partial_results_that_cannot_be_read_leave_the_file_as_it_was(labelworks: Command) -> None:
    job = labelworks.service.add_completed(b'{"label":"a"}\n' * 5)
    Path("keep.ndjson").write_text("kept")
    labelworks("results", "batch_none", "--partial", "--out", "keep.ndjson", exit_code=1)
    for _ in range(9):
        labelworks.service.misbehave(f"GET /storage/{job.job_id}-4", status=403)
    labelworks("results", job.job_id, "--partial", "--out", "keep.ndjson", exit_code=1)
    assert Path("keep.ndjson").read_text() == "kept"
    assert sorted(Path().iterdir()) == [Path("in.ndjson"), Path("keep.ndjson")]


def test_results_do_not_replace_a_pipe(labelworks: Command) -> None:
    job = labelworks.service.add_completed(b'{"label":"a"}\n')
    os.mkfifo("pipe")
    for options in ([], ["--partial"]):
        assert "pipe" in labelworks("results", job.job_id, "--out", "pipe", *options, exit_code=1).stderr
    assert Path("pipe").is_fifo()


def test_watch_without_ids_follows_what_is_going(labelworks: Command) -> None:
    labelworks.service.add_completed(b"{}\n")
    assert "No job" in labelworks("watch").stderr
    job_id = labelworks("submit", "in.ndjson", "--labels", "a").stdout.strip()
    labelworks.service.jobs[job_id].status = "processing"
    assert [batch["job_id"] for batch in json.loads(labelworks("watch", "--json").stdout)] == [job_id]


def test_classifiers_are_created_shown_listed_and_deleted(labelworks: Command) -> None:
    options = ["--labels", "a,b", "--description", "a=first", "--example", "b=like this"]
    assert labelworks("classifiers", "create", "reviews", *options).stdout == "reviews@v1\n"
    shown = labelworks("classifiers", "show", "reviews@v1").stdout
    assert all(part in shown for part in ("reviews@v1", "a: first", "like this"))
    assert "reviews" in labelworks("classifiers", "list").stdout
    assert json.loads(labelworks("classifiers", "list", "--json").stdout)[0]["label_count"] == 2
    labelworks("classifiers", "delete", "reviews", stdin="n\n", exit_code=1)
    labelworks("classifiers", "delete", "reviews", "--yes")
    labelworks("classifiers", "show", "reviews", exit_code=1)


def test_keys_are_created_listed_and_revoked(labelworks: Command) -> None:
    assert labelworks("keys", "create", "--name", "nightly", "--days", "30").stdout == "lw_secret\n"
    listed = labelworks("keys", "list").stdout
    assert "key_0" in listed
    assert "lw_secret" not in listed
    labelworks("keys", "revoke", "key_0")
    assert json.loads(labelworks("keys", "list", "--json").stdout) == []


def test_help_says_that_others_see_a_key_that_is_an_argument(labelworks: Command) -> None:
    shown = " ".join(labelworks("status", "--help").stdout.replace("│", " ").split())
    assert "As an option it is visible in the list of processes." in shown


def test_a_name_that_looks_like_markup_is_shown_as_it_is(labelworks: Command) -> None:
    labelworks("keys", "create", "--name", "prod [/old] :key:")
    assert "prod [/old] :key:" in labelworks("keys", "list").stdout
    labelworks("classifiers", "create", "[r] :key:", "--labels", "[/a] :key:")
    assert "[r] :key:" in labelworks("classifiers", "list").stdout
    shown = labelworks("preview", "[/b] :key:", "--classifier", "[r] :key:").stdout
    assert "[/b] :key:" in shown
    assert "[/a] :key:" in shown
    assert "Deleted [r] :key:" in labelworks("classifiers", "delete", "[r] :key:", "--yes").stderr


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as there:
        there.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_berlin")
def test_a_time_beyond_the_local_calendar_is_shown_in_utc(labelworks: Command) -> None:
    labelworks("keys", "create")
    labelworks.service.account.keys["key_0"]["expires_at"] = "9999-12-31T23:59:59Z"
    listed = labelworks("keys", "list").stdout
    assert "9999-12-31 23:59 UTC" in listed
    assert "2026-11-23 21:57" in listed


def test_a_key_in_the_storage_has_no_name(labelworks: Command) -> None:
    assert "--name" in labelworks("keys", "create", "acme", "--name", "nightly", exit_code=2).stderr


def test_usage_shows_days_and_their_sum(labelworks: Command) -> None:
    shown = labelworks("usage", "--from", "2026-11-01").stdout
    assert "2026-11-01" in shown
    assert "$0.0000" in shown
    assert json.loads(labelworks("usage", "--json").stdout)["days"][0]["date"] == "2026-11-24"


def test_preview_answers_texts_or_the_beginning_of_a_file(labelworks: Command) -> None:
    assert "a 0.90" in labelworks("preview", "I was charged twice", "--labels", "a").stdout
    answers = json.loads(
        labelworks("preview", "--file", "in.ndjson", "--labels", "a", "--mode", "multi", "--json").stdout
    )
    assert [answer["labels"] for answer in answers] == [[{"label": "a", "confidence": 0.9}]]
    labelworks("preview", "--labels", "a", exit_code=2)


def test_preview_shows_a_text_that_is_half_of_a_surrogate_pair(labelworks: Command) -> None:
    Path("half.ndjson").write_text('{"text":"\\ud83d half"}\n{"text":"\u00fcmlaut"}\n')
    shown = labelworks("preview", "--file", "half.ndjson", "--labels", "a").stdout
    assert "? half" in shown
    assert json.loads(labelworks.service.seen[-1].body)["texts"] == ["\ud83d half", "\u00fcmlaut"]


@pytest.mark.parametrize(
    ("options", "path", "sent"),
    [
        (["--labels", "a"], "/v1/classify/batch", {"labels": ["a"]}),
        (["--labels", "a", "--mode", "multi"], "/v1/tag/batch", {"labels": ["a"], "threshold": 0.3}),
        (["--labels", "a", "--mode", "multi", "--threshold", "0"], "/v1/tag/batch", {"labels": ["a"], "threshold": 0}),
        (["--classifier", "tags"], "/v1/tag/batch", {"classifier": "tags@v1"}),
        (["--classifier", "tags", "--mode", "single"], "/v1/classify/batch", {"classifier": "tags"}),
    ],
)
def test_preview_asks_for_what_a_job_would_answer(
    labelworks: Command, options: list[str], path: str, sent: dict[str, object]
) -> None:
    labelworks("classifiers", "create", "tags", "--labels", "a", "--mode", "multi", "--threshold", "0.7")
    labelworks("preview", "x", *options)
    asked = labelworks.service.seen[-1]
    assert (asked.path, json.loads(asked.body)) == (path, {"texts": ["x"], **sent})


def test_validate_names_the_line_of_the_file_for_another_text_field(labelworks: Command) -> None:
    Path("body.ndjson").write_bytes(b'\n\n{"body":"a"}\n\noops\n')
    result = labelworks("validate", "body.ndjson", "--text-field", "body", exit_code=3)
    assert "line 5: invalid_json" in result.stdout


def test_validate_names_a_file_that_was_cut_off(labelworks: Command) -> None:
    Path("cut.ndjson.gz").write_bytes(gzip.compress(TEXTS)[:-12])
    result = labelworks("validate", "cut.ndjson.gz", exit_code=1)
    assert result.stderr.startswith("labelworks: cut.ndjson.gz cannot be read")
    assert "Aborted" not in result.output


def test_env_prints_what_a_shell_can_take(labelworks: Command) -> None:
    labelworks("env", exit_code=1)
    Path(".labelworks").mkdir()
    Path(".labelworks/stack.json").write_text(json.dumps({"http_port": 80, "api_key": "lw_x"}))
    assert labelworks("env").stdout == (
        "export LABELWORKS_BASE_URL=http://127.0.0.1:80\nexport LABELWORKS_API_KEY=lw_x\n"
    )


def test_the_version_is_that_of_the_package(labelworks: Command) -> None:
    assert labelworks("--version").stdout.strip() == version("labelworks")
