"""A worker node dies with everything on it: its classifiers start again on another node, once there is one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.chaos.conftest import CHAOS_SETTINGS
from tests.chaos.disturbed_job import GOOD_LINES, DisturbedJob, Undisturbed, seconds_until
from tests.chaos.journal import Journal
from tests.chaos.processes import parent_of, pids_of
from tests.chaos.recoveries import Recoveries, Recovery
from tests.integration.service import RunningStack, descendants, kill_if_alive

# Longer than Ray takes to find out that the node is gone.
WITHOUT_NODE_SECONDS = 45.0
# Two classifiers find room on either worker node alone.
SETTINGS = CHAOS_SETTINGS | {"LABELWORKS_CLASSIFIER_CPUS": "0.4"}


def test_a_worker_nodes_classifiers_move_to_another_node(
    tmp_path: Path, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    journal = Journal(tmp_path / "journal")
    settings = SETTINGS | journal.environment()
    with RunningStack.start(tmp_path, program=["tests.chaos.node_cluster"], **settings) as stack:
        job = DisturbedJob(stack, "node-dies", data)
        kept = job.wait_for_shards(3)
        classifiers = pids_of(stack.process.pid, "classifier")
        node = parent_of(classifiers[0])
        lost = [pid for pid in classifiers if parent_of(pid) == node]
        writers = journal.writers()
        killed_at = time.monotonic()
        for pid in (node, *descendants(node)):
            kill_if_alive(pid)
        seconds = seconds_until(lambda: journal.writers() - writers, "a classifier works on another node", killed_at)
        job.require_whole(undisturbed, kept)
        # Beside what the classifiers had in hand, a receipt may have been in the node's memory only.
        rework = job.require_little_rework(journal, 0, GOOD_LINES, deaths=1 + len(lost))
        job.require_no_actor_left()
    recoveries.add(Recovery("worker node", seconds, "a classifier works on another node", rework, GOOD_LINES))


def test_a_job_whose_only_node_died_waits_until_there_is_another(
    tmp_path: Path, data: bytes, undisturbed: Undisturbed, recoveries: Recoveries
) -> None:
    journal = Journal(tmp_path / "journal")
    settings = SETTINGS | journal.environment()
    with RunningStack.start(tmp_path, program=["tests.chaos.node_cluster", "--nodes", "1"], **settings) as stack:
        job = DisturbedJob(stack, "last-node-dies", data)
        kept = job.wait_for_shards(3)
        classifiers = pids_of(stack.process.pid, "classifier")
        node = parent_of(classifiers[0])
        for pid in (node, *descendants(node)):
            kill_if_alive(pid)
        writers = journal.writers()
        waiting_until = time.monotonic() + WITHOUT_NODE_SECONDS
        while time.monotonic() < waiting_until:
            state = job.state()
            assert state
            assert state["status"] == "processing"
            time.sleep(1)
        added_at = time.monotonic()
        os.kill(stack.process.pid, signal.SIGUSR1)
        seconds = seconds_until(lambda: journal.writers() - writers, "a classifier works on the new node", added_at)
        job.require_whole(undisturbed, kept)
        rework = job.require_little_rework(journal, 0, GOOD_LINES, deaths=1 + len(classifiers))
        job.require_no_actor_left()
    recoveries.add(Recovery("the only worker node", seconds, "a classifier works on a new node", rework, GOOD_LINES))
