"""A real job on the bundled sample: the stack, the HTTP API as a client uses it, and what came out."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from shutil import which

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from labelworks.classified import read_results
from labelworks.client import Labelworks
from labelworks.errors import LabelworksError
from labelworks.progress import duration, shown_progress
from labelworks.types import Batch, Result
from serve_app.embedded.exceptions import EmbeddedStackError
from serve_app.embedded.state import is_running, read_state

_SAMPLES = files("labelworks") / "samples"
_SHOWN_RESULTS = 12
_START_SECONDS = 180
_STOP_SECONDS = 60
_POLL_SECONDS = 0.5
_PLAIN_WIDTH = 120


class DemoError(Exception):
    """The demo could not be carried out. The message is one line for the person who ran it."""


def run_demo(data: Path) -> None:
    """Classify the sample with the stack of folder ``data``, starting and stopping it if it is not running.

    Raises DemoError with a one-line reason.
    """
    # Where there is no terminal to fit into, lines may be as long as a table needs.
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    began = time.monotonic()
    try:
        with _stack(data, console) as service:
            outcome = _run_job(service, data)
    except LabelworksError as error:
        raise DemoError(str(error)) from error
    except KeyboardInterrupt:
        raise DemoError("Interrupted; the stack that the demo started is stopped") from None
    _show_results(console, outcome)
    _show_summary(console, outcome, time.monotonic() - began)
    _show_next_steps(console, service, data)


@dataclass(frozen=True, slots=True)
class _Service:
    url: str
    api_key: str


@dataclass(frozen=True, slots=True)
class _Outcome:
    batch: Batch
    results_file: Path

    def results(self) -> list[Result]:
        return list(read_results(self.results_file))


@contextmanager
def _stack(data: Path, console: Console) -> Iterator[_Service]:
    if is_running(data):
        console.print(f"Using the stack that runs in {escape(str(data))}")
        yield _running_service(data)
        return
    data.mkdir(parents=True, exist_ok=True)
    log = data / "demo-stack.log"
    log.touch(mode=0o600)
    command = [sys.executable, "-m", "labelworks", "dev", "--data", str(data)]
    with log.open("w") as output:
        # A session of its own: Ctrl-C must reach the stack once, from here, when the job is no longer using it.
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            with console.status("Starting Ray, the S3 server and the API (10 to 60 seconds)"):
                service = _await_ready(process, log)
            console.print(f"The service is up at {service.url}")
            yield service
        finally:
            with console.status("Stopping the service"):
                _stop(process)


def _running_service(data: Path) -> _Service:
    """The stack that somebody else runs in ``data``; it may still be starting."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            state = read_state(data)
            httpx.get(f"{state.url}/health").raise_for_status()
            return _Service(state.url, state.api_key or "")
        except (httpx.HTTPError, EmbeddedStackError) as error:
            if time.monotonic() > deadline:
                raise DemoError(f"A stack runs in {data} but does not answer: {error}") from error
            time.sleep(_POLL_SECONDS)


def _await_ready(process: subprocess.Popen[bytes], log: Path) -> _Service:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        lines = log.read_text(errors="replace").splitlines()
        for line in lines:
            if line.startswith("READY ") and line.endswith("}"):
                ready = json.loads(line.removeprefix("READY "))
                return _Service(ready["url"], ready["api_key"])
        if ended:
            reasons = [line for line in lines if line.startswith("labelworks: ")] or lines[-1:] or ["no reason given"]
            raise DemoError(f"The stack did not start: {reasons[-1].removeprefix('labelworks: ')} (log: {log})")
        time.sleep(0.2)
    raise DemoError(f"The stack was not ready after {_START_SECONDS} seconds; its log is {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(_STOP_SECONDS)


def _run_job(service: _Service, data: Path) -> _Outcome:
    """What every client of the API does. ``client.classify_file`` does all of it in one call."""
    task = json.loads((_SAMPLES / "task.json").read_text())
    with Labelworks(base_url=service.url, api_key=service.api_key) as client, shown_progress() as show:
        created = client.batches.create(**task)
        with (_SAMPLES / "reviews.ndjson").open("rb") as texts:
            client.batches.upload(created, texts)
        client.batches.start(created.job_id)
        try:
            batch = client.batches.wait(created.job_id, on_progress=show)
        except KeyboardInterrupt:
            # Left processing, it would go on with the next start of the stack and keep the account busy.
            client.batches.cancel(created.job_id)
            raise
        folder = data / "demo"
        folder.mkdir(exist_ok=True)
        return _Outcome(batch, client.batches.download(created.job_id, folder / f"{batch.job_id}.ndjson"))


def _show_results(console: Console, outcome: _Outcome) -> None:
    table = Table(title=f"The first {_SHOWN_RESULTS} of {outcome.batch.requests_total} results", expand=True)
    table.add_column("text", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("label", style="cyan", no_wrap=True, min_width=16)
    table.add_column("confidence", justify="right", min_width=10)
    with (_SAMPLES / "reviews.ndjson").open(encoding="utf-8") as texts:
        for line, result in islice(zip(texts, outcome.results(), strict=True), _SHOWN_RESULTS):
            if result.error:
                table.add_row(f"[dim]{escape(line.strip())}", f"[red]{result.error.code}", "")
            else:
                table.add_row(escape(json.loads(line)["text"]), result.label, f"{result.confidence:.2f}")
    console.print(table)


def _show_summary(console: Console, outcome: _Outcome, seconds: float) -> None:
    batch, results = outcome.batch, outcome.results()
    labels = Counter(result.label for result in results if result.label)
    console.print("Labels: " + ", ".join(f"{label} {count}" for label, count in labels.most_common()))
    console.print(
        f"{batch.requests_completed} texts classified, {batch.requests_failed} lines answered with an error, "
        f"{batch.actual_tokens:,} tokens, ${batch.cost_usd:.6f}, {duration(seconds)} in all"
    )
    for number, result in enumerate(results, 1):
        if result.error:
            console.print(f"  line {number}: {result.error.code} - {result.error.message}", style="dim")
    console.print(f"Results: [bold]{escape(str(outcome.results_file))}[/]  (line N answers line N of the input)")


def _show_next_steps(console: Console, service: _Service, data: Path) -> None:
    default = data == Path(".labelworks")
    dev = "make dev" if default else shlex.join([_own_command(), "dev", "--data", str(data)])
    console.rule("Your own file")
    console.print(f"Start the service in another terminal with [bold]{escape(dev)}[/], then here:\n")
    # Printed as it is, so that a terminal of any width does not break a command that is to be copied.
    print(_COMMANDS.format(url=service.url, api_key=service.api_key, labelworks=shlex.quote(_own_command())))


def _own_command() -> str:
    """How the reader's shell finds the ``labelworks`` command of this installation."""
    if which("labelworks"):
        return "labelworks"
    command = Path(sys.executable).with_name("labelworks")
    return str(command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command)


_COMMANDS = """\
export LABELWORKS_BASE_URL={url}
export LABELWORKS_API_KEY={api_key}
printf '%s\\n' '{{"text": "I was charged twice"}}' '{{"text": "Love it!"}}' > mine.ndjson

# Create a job, upload the file as the form it asks for, start it
curl -s -H "Authorization: Bearer $LABELWORKS_API_KEY" -H 'Content-Type: application/json' \\
  -d '{{"labels": ["billing", "praise", "bug"]}}' $LABELWORKS_BASE_URL/v1/batch > job.json
JOB=$(python3 -c 'import json; print(json.load(open("job.json"))["job_id"])')
python3 -c 'import json; job = json.load(open("job.json")); print("url =", job["upload_url"])
for field in job["upload_fields"].items(): print("form-string =", json.dumps("=".join(field)))' > form.curl
curl -s --config form.curl --form file=@mine.ndjson
curl -s -X POST -H "Authorization: Bearer $LABELWORKS_API_KEY" $LABELWORKS_BASE_URL/v1/batch/$JOB/start

# Ask how it is going until it has ended, then download
while curl -s -H "Authorization: Bearer $LABELWORKS_API_KEY" $LABELWORKS_BASE_URL/v1/batch/$JOB |
  tee status.json | grep '"status":"processing"'; do sleep 1; done
curl -s -H "Authorization: Bearer $LABELWORKS_API_KEY" $LABELWORKS_BASE_URL/v1/batch/$JOB/results > results.json
curl -s -o results.ndjson "$(python3 -c 'import json; print(json.load(open("results.json"))["download_url"])')"
cat results.ndjson

# All of that in one command; CSV and Parquet too, with --text-field for the column
{labelworks} classify mine.ndjson --labels billing,praise,bug --out results.ndjson
"""
