"""Which queued jobs may run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.admission import Admission, Capacity, Running, Waiting, admit


def small(name: str, wanted: int = 1) -> Waiting:
    return Waiting(name, small=True, wanted=wanted)


def large(name: str, wanted: int = 100) -> Waiting:
    return Waiting(name, small=False, wanted=wanted)


def test_a_large_job_alone_takes_all_common_slots_and_leaves_the_kept_ones() -> None:
    assert admit(Capacity.of(8, 0.25), [], [large("a")]) == [Admission("a", 6, in_kept=False)]


def test_a_small_job_runs_in_a_kept_slot_while_a_large_one_holds_the_rest() -> None:
    admitted = admit(Capacity.of(8, 0.25), [Running(6, in_kept=False)], [large("b"), small("c")])
    assert admitted == [Admission("c", 1, in_kept=True)]


def test_a_waiting_large_job_gets_the_common_slots_before_those_behind_it() -> None:
    running = [Running(5, in_kept=False), Running(2, in_kept=True)]
    assert admit(Capacity.of(18, 0.12), running, [large("first"), small("second"), large("third", 1)]) == [
        Admission("first", 10, in_kept=False),
        Admission("second", 1, in_kept=True),
    ]


def test_a_large_job_does_not_begin_with_a_crumb() -> None:
    assert admit(Capacity(17, 1), [Running(14, in_kept=False)], [large("a")]) == []
    assert admit(Capacity(17, 1), [Running(12, in_kept=False)], [large("a")]) == [Admission("a", 4, in_kept=False)]


def test_a_small_job_alone_takes_all_common_slots_that_it_can_use() -> None:
    assert admit(Capacity(17, 1), [], [small("a", 30)]) == [Admission("a", 16, in_kept=False)]
    assert admit(Capacity(17, 1), [], [large("b", 4), small("a", 30)])[1] == Admission("a", 12, in_kept=False)


def slots_of(capacity: Capacity, running: list[Running], queue: list[Waiting]) -> dict[str, int]:
    """Of the jobs that are admitted to common slots."""
    return {each.job_id: each.slots for each in admit(capacity, running, queue) if not each.in_kept}


def test_small_jobs_that_wait_together_share_the_slots_and_leave_none_free() -> None:
    capacity = Capacity(17, 1)
    assert slots_of(capacity, [], [small("a", 30), small("b", 30)]) == {"a": 8, "b": 8}
    assert slots_of(capacity, [], [small("a", 30), small("b", 1)]) == {"a": 15, "b": 1}
    assert sorted(slots_of(capacity, [], [small(name, 30) for name in "abcdefghi"]).values()) == [1, 1, *[2] * 7]
    assert slots_of(Capacity(4, 1), [], [small("a", 30), small("b", 30)]) == {"a": 1, "b": 2}
    many = admit(capacity, [], [small(str(number), 30) for number in range(32)])
    assert many == [Admission(str(number), 1, in_kept=number == 16) for number in range(17)]


def test_what_is_free_is_shared_and_not_begun_with_a_crumb_unless_many_wait() -> None:
    capacity, running = Capacity(17, 1), [Running(10, in_kept=False)]
    assert slots_of(capacity, running, [small("a", 30), small("b", 30)]) == {"a": 4}
    many = slots_of(capacity, running, [small(str(number), 30) for number in range(16)])
    assert many == {str(number): 1 for number in range(6)}


def test_a_small_job_shares_with_none_behind_a_large_one() -> None:
    assert slots_of(Capacity(17, 1), [], [small("a", 30), large("b"), small("c", 30)]) == {"a": 16}


@given(slots=st.integers(1, 40), wanted=st.lists(st.integers(1, 50), min_size=1, max_size=50))
def test_small_jobs_leave_no_slot_free_that_one_of_them_could_use(slots: int, wanted: list[int]) -> None:
    queue = [small(str(number), each) for number, each in enumerate(wanted)]
    admitted = slots_of(Capacity(slots + 1, 1), [], queue)
    assert sum(admitted.values()) == slots or admitted == {job.job_id: job.wanted for job in queue}


def test_one_slot_runs_one_job_at_a_time_in_order() -> None:
    capacity = Capacity.of(1, 0.25)
    assert admit(capacity, [], [large("a"), small("b")]) == [Admission("a", 1, in_kept=False)]
    assert admit(capacity, [Running(1, in_kept=False)], [small("b")]) == []


jobs = st.lists(st.tuples(st.booleans(), st.integers(1, 50)), min_size=1, max_size=12)


@given(slots=st.integers(1, 64), share=st.floats(0, 0.9), jobs=jobs)
def test_slots_are_never_oversold_and_every_job_runs_in_the_end(
    slots: int, share: float, jobs: list[tuple[bool, int]]
) -> None:
    capacity = Capacity.of(slots, share)
    queue = [Waiting(str(number), is_small, wanted) for number, (is_small, wanted) in enumerate(jobs)]
    running: dict[str, Running] = {}
    for _ in range(2 * len(jobs)):
        for admission in admit(capacity, list(running.values()), queue):
            running[admission.job_id] = Running(admission.slots, admission.in_kept)
            queue = [job for job in queue if job.job_id != admission.job_id]
        assert sum(each.slots for each in running.values()) <= slots
        assert running or not queue
        if running:
            running.pop(next(iter(running)))
    assert not queue
