"""Jobs of several accounts for some minutes while processes are killed at random; every result is checked.

``python -m tests.chaos.soak --minutes 20 --seed 1``. The last line is JSON; the exit code is 1 for anything lost,
doubled or wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from models.registry import load_engine
from serve_app.accounts import create_key
from tests.chaos.journal import Journal
from tests.chaos.processes import Kind, pids_of
from tests.chaos.soak_client import Hung, SoakClient
from tests.chaos.soak_jobs import compare, random_job
from tests.integration.service import RunningStack, bucket_of

ACCOUNTS = 4
# The whole stack more seldom than its parts: its start takes as long as several of their recoveries.
KILLS: dict[Kind | None, int] = {"classifier": 6, "driver": 4, "registry": 3, "replica": 3, "gateway": 2, None: 1}
MOST_SECONDS_BETWEEN_KILLS = 25.0
STARTS_AT_MOST = 5
SETTINGS = {
    "LABELWORKS_MODELS": '["tests.chaos.journal_engine"]',
    "LABELWORKS_RANGE_MIN_BYTES": "16384",
    "LABELWORKS_SMALL_JOB_BYTES": "60000",
    "RAY_worker_niceness": "0",
}


@dataclass(slots=True)
class Tally:
    """What happened so far."""

    kills: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    rows: int = 0
    texts: int = 0
    losses: int = 0
    duplicates: int = 0
    mismatches: int = 0
    wrong_counters: int = 0
    hung: int = 0
    cancels: int = 0
    failed_starts: int = 0
    failed_attempts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sound(self) -> bool:
        return not (self.losses or self.duplicates or self.mismatches or self.wrong_counters or self.hung)


class Soak:
    """The stack under test, its clients and its killer."""

    def __init__(self, folder: Path, seed: int, engine: str) -> None:
        self._folder = folder
        self._seed = seed
        self._journal = Journal(folder / "journal")
        self._settings = SETTINGS | {"CHAOS_ENGINE": engine} | self._journal.environment()
        self._engine = load_engine(engine, threads=1)
        self._reference = threading.Lock()
        self._stack = RunningStack.start(folder, **self._settings)
        self._over = threading.Event()
        self.tally = Tally()

    def run(self, minutes: float) -> None:
        clients = [threading.Thread(target=self._client, args=(number,)) for number in range(ACCOUNTS)]
        try:
            for client in clients:
                client.start()
            self._kill_until(time.monotonic() + minutes * 60)
            self._over.set()
            say("no more kills; waiting for the jobs that are under way")
            for client in clients:
                client.join()
        finally:
            self._over.set()
            self._stack.stop()

    def report(self, minutes: float) -> dict[str, object]:
        tally = self.tally
        rework = self._journal.texts() - tally.texts
        deaths = sum(tally.kills[kind] for kind in ("classifier", "driver", "whole stack"))
        return {
            "minutes": minutes,
            "seed": self._seed,
            "kills": dict(tally.kills),
            "killed": sum(tally.kills.values()),
            "jobs": tally.jobs,
            "rows": tally.rows,
            "losses": tally.losses,
            "duplicates": tally.duplicates,
            "mismatches": tally.mismatches,
            "wrong_counters": tally.wrong_counters,
            "hung": tally.hung,
            "failed_starts_of_the_stack": tally.failed_starts,
            "cancelled_and_started_again": tally.cancels,
            "failed_and_started_again": dict(tally.failed_attempts),
            "texts_classified_again": rework,
            "rework_per_kill_of_a_classifier_driver_or_stack": round(rework / deaths) if deaths else None,
            "rework_share": round(rework / tally.texts, 4) if tally.texts else None,
        }

    def _kill_until(self, deadline: float) -> None:
        source = random.Random(f"{self._seed}-kills")
        while (left := deadline - time.monotonic()) > 0:
            wait = source.uniform(3.0, MOST_SECONDS_BETWEEN_KILLS)
            kind = source.choices(list(KILLS), list(KILLS.values()))[0]
            time.sleep(min(wait, left))
            if wait > left:
                return
            if kind is None:
                self._cut_power()
            else:
                self._kill(kind, source)

    def _kill(self, kind: Kind, source: random.Random) -> None:
        pids = pids_of(self._stack.process.pid, kind)
        if not pids:
            say(f"there is no {kind} to kill now")
            return
        os.kill(source.choice(pids), signal.SIGKILL)
        self.tally.kills[kind] += 1
        say(f"killed a {kind}")

    def _cut_power(self) -> None:
        self._stack.kill()
        self.tally.kills["whole stack"] += 1
        say("killed every process; starting the stack again")
        self._stack = self._started_again()
        say("the stack runs again")

    def _started_again(self) -> RunningStack:
        """As a supervisor does: on a machine that is too busy, Ray gives its start up."""
        for _ in range(STARTS_AT_MOST - 1):
            try:
                return RunningStack.start(self._folder, **self._settings)
            except AssertionError as error:
                self.tally.failed_starts += 1
                say(f"the stack did not start, once more: {error}")
        return RunningStack.start(self._folder, **self._settings)

    def _client(self, number: int) -> None:
        source = random.Random(f"{self._seed}-account-{number}")
        api_key = create_key(bucket_of(self._folder), f"account-{number}")
        client = SoakClient(lambda: self._stack.url, api_key, source)
        while not self._over.is_set():
            try:
                self._run_one(client, number, source)
            except Hung as error:
                with self.tally.lock:
                    self.tally.hung += 1
                say(f"HUNG: {error}")

    def _run_one(self, client: SoakClient, number: int, source: random.Random) -> None:
        job = random_job(source)
        ran = client.run(job)
        with self._reference:
            verdict = compare(job, ran.results, self._engine)
        failed = sum(item.error is not None for item in job.items)
        counters = (len(job.items), len(job.items) - failed, failed, verdict.tokens)
        names = ("requests_total", "requests_completed", "requests_failed", "actual_tokens")
        exact = tuple(ran.state[name] for name in names) == counters
        with self.tally.lock:
            self.tally.jobs += 1
            self.tally.rows += verdict.rows
            self.tally.texts += verdict.rows - failed
            self.tally.losses += verdict.losses
            self.tally.duplicates += verdict.duplicates
            self.tally.mismatches += len(verdict.mismatches)
            self.tally.wrong_counters += not exact
            self.tally.cancels += ran.cancels
            self.tally.failed_attempts.update(ran.failures)
        for line in verdict.mismatches[:3]:
            say(f"MISMATCH in {ran.job_id}: {line}")
        if not exact:
            say(f"WRONG COUNTERS in {ran.job_id}: {counters} expected: {ran.state}")
        for failure in ran.failures:
            say(f"{ran.job_id} was started again after: {failure}")
        say(f"account {number}: {verdict.rows} rows are right; {self.tally.jobs} jobs, {self.tally.rows} rows so far")
        if source.random() < 0.5:
            client.delete(ran.job_id)


def say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", default="minilm", help="the engine that the jobs and the reference run on")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labelworks-soak-") as folder:
        soak = Soak(Path(folder), told.seed, told.engine)
        soak.run(told.minutes)
        print(json.dumps(soak.report(told.minutes)))
    return 0 if soak.tally.sound else 1


if __name__ == "__main__":
    sys.exit(main())
