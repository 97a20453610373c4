"""How many threads are at work, on a clock of our own."""

import pytest

from rs_tensor_encoder.encoding import concurrency
from rs_tensor_encoder.encoding.batching import Batch
from rs_tensor_encoder.encoding.concurrency import Crew

MEGABYTE = Batch([], [], 1 << 20)


@pytest.fixture
def clock(monkeypatch):
    """Wall and processor time, to be set at will; two processors."""
    now = {"wall": 0.0, "cpu": 0.0}
    monkeypatch.setattr(concurrency.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(concurrency.time, "process_time", lambda: now["cpu"])
    monkeypatch.setattr(concurrency, "processors", lambda: 2)
    return now


def pass_time(subject, clock, *, busy, waiting=1.0, blocked=1.0, seconds=0.1):
    """Let time pass with the processors so busy, the writer so idle, the files so cold."""
    clock["wall"] += seconds * (1 - waiting)
    with subject.waiting():
        clock["wall"] += seconds * waiting
        clock["cpu"] += seconds * busy * 2
    subject.note(10, None if blocked is None else int(10 * blocked))


@pytest.mark.parametrize("blocked", [1.0, None])
def test_it_grows_while_all_wait(clock, blocked):
    subject = Crew(None)
    sizes = []
    for _ in range(8):
        pass_time(subject, clock, busy=0.1, blocked=blocked)
        sizes.append(subject.size)
    assert sizes == [4, 8, 16, 32, 64, 64, 64, 64]


def test_it_stays_small_while_processors_or_the_writer_are_busy(clock):
    subject = Crew(None)
    for _ in range(5):
        pass_time(subject, clock, busy=0.95)
        pass_time(subject, clock, busy=0.5, waiting=0.05)
    assert subject.size == 2


def test_it_stays_small_while_it_is_not_files_that_it_waits_for(clock):
    subject = Crew(None)
    for _ in range(5):
        pass_time(subject, clock, busy=0.1, blocked=0.2)
    assert subject.size == 2


@pytest.mark.parametrize(
    ("blocked", "then"),
    [
        pytest.param(1.0, {"busy": 0.1, "blocked": 0.0}, id="files turn out to be warm"),
        pytest.param(
            None, {"busy": 0.4, "blocked": None, "waiting": 0.0}, id="writer busy, waits not known"
        ),
    ],
)
def test_it_shrinks_to_what_it_began_with(clock, blocked, then):
    subject = Crew(None)
    for _ in range(5):
        pass_time(subject, clock, busy=0.1, blocked=blocked)
    for _ in range(20):
        pass_time(subject, clock, **then)
    assert subject.size == 2


def test_it_shrinks_when_no_processor_idles_and_not_while_the_writer_catches_up(clock):
    subject = Crew(None)
    for _ in range(5):
        pass_time(subject, clock, busy=0.1)
    for _ in range(5):
        pass_time(subject, clock, busy=0.8, waiting=0.0)
    assert subject.size == 64
    pass_time(subject, clock, busy=0.99, waiting=0.0)
    assert subject.size == 48


def test_a_number_of_workers_is_kept(clock):
    subject = Crew(7)
    for _ in range(5):
        pass_time(subject, clock, busy=0.1)
    assert subject.size == subject.most == 7
    assert subject.has_room(8, 0, MEGABYTE, first_ended=False)
    assert not subject.has_room(9, 0, MEGABYTE, first_ended=False)
    assert not subject.has_room(6, 10, MEGABYTE, first_ended=True)


def test_it_does_not_run_ahead_of_a_busy_writer(clock):  # noqa: ARG001
    subject = Crew(None)
    assert subject.has_room(2, 3, MEGABYTE, first_ended=True)
    assert not subject.has_room(2, 4, MEGABYTE, first_ended=True)
    # The writer waits for a slow batch: the others go on.
    assert subject.has_room(2, 40, MEGABYTE, first_ended=False)


def test_a_large_crew_goes_on_reading_while_the_writer_catches_up(clock):
    subject = Crew(None)
    for _ in range(3):
        pass_time(subject, clock, busy=0.6)
    assert subject.size == 16
    assert subject.has_room(2, 15, MEGABYTE, first_ended=True)
    assert not subject.has_room(2, 16, MEGABYTE, first_ended=True)


def test_memory_bounds_what_is_under_way(clock):
    subject = Crew(None)
    for _ in range(8):
        pass_time(subject, clock, busy=0.1)
    assert subject.has_room(60, 30, MEGABYTE, first_ended=False)
    assert not subject.has_room(60, 36, MEGABYTE, first_ended=False)
    large = Batch([], [], 20 << 20)
    assert subject.has_room(2, 3, large, first_ended=False)
    assert not subject.has_room(3, 3, large, first_ended=False)
