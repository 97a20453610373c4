"""How many threads are at work, on a clock of our own."""

import pytest

from rs_tensor_encoder import crew
from rs_tensor_encoder.batches import Batch
from rs_tensor_encoder.crew import Crew

MEGABYTE = Batch([], 1 << 20, commits=False)


@pytest.fixture
def clock(monkeypatch):
    """Wall and processor time, to be set at will; two processors."""
    now = {"wall": 0.0, "cpu": 0.0}
    monkeypatch.setattr(crew.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(crew.time, "process_time", lambda: now["cpu"])
    monkeypatch.setattr(crew, "processors", lambda: 2)
    return now


def pass_time(subject, clock, *, busy, waiting=1.0, seconds=0.1):
    """Let time pass with the processors so busy, and the writer so idle."""
    clock["wall"] += seconds * (1 - waiting)
    with subject.waiting():
        clock["wall"] += seconds * waiting
        clock["cpu"] += seconds * busy * 2


def test_it_grows_while_all_wait(clock):
    subject = Crew(None)
    sizes = []
    for _ in range(8):
        pass_time(subject, clock, busy=0.1)
        sizes.append(subject.size)
    assert sizes == [6, 12, 24, 48, 64, 64, 64, 64]


def test_it_stays_small_while_processors_or_the_writer_are_busy(clock):
    subject = Crew(None)
    for _ in range(5):
        pass_time(subject, clock, busy=0.95)
        pass_time(subject, clock, busy=0.5, waiting=0.05)
    assert subject.size == 3


def test_it_shrinks_when_files_turn_out_to_be_warm(clock):
    subject = Crew(None)
    for _ in range(5):
        pass_time(subject, clock, busy=0.1)
    for _ in range(20):
        pass_time(subject, clock, busy=0.95)
    assert subject.size == 3


def test_a_number_of_workers_is_kept(clock):
    subject = Crew(7)
    for _ in range(5):
        pass_time(subject, clock, busy=0.1)
    assert subject.size == subject.most == 7
    assert subject.has_room(6, 6, MEGABYTE)
    assert not subject.has_room(7, 7, MEGABYTE)


def test_memory_bounds_what_is_under_way(clock):
    subject = Crew(None)
    for _ in range(8):
        pass_time(subject, clock, busy=0.1)
    assert subject.has_room(60, 90, MEGABYTE)
    assert not subject.has_room(60, 96, MEGABYTE)
    large = Batch([], 20 << 20, commits=True)
    assert subject.has_room(3, 7, large)
    assert not subject.has_room(3, 8, large)
