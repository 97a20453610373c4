"""Tasks, the line that they stand in, and what is said of them when they are done."""

import os
import struct
import threading

import numpy as np
import pytest

from rs_tensor_encoder import _tiff
from rs_tensor_encoder.encoding.batching import new_encoder
from rs_tensor_encoder.errors import PatchError


def test_a_line_hands_every_task_to_one_thread(plan_of, made_up):
    plan = plan_of(bigearthnet_s1=made_up.sentinel_1)
    line = _tiff.Line(lambda *_: pytest.fail("there is room"))
    files = [plan.files(patch) for patch in plan.patches]
    tasks = [_tiff.Task(files[i % len(files) :][:3], np.empty(1 << 20, "u1")) for i in range(200)]
    threads = [
        threading.Thread(target=new_encoder(plan).serve, args=(line,), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for task in tasks:
        line.put(task)
    ended = [line.wait(20.0) for _ in tasks]
    assert sorted(map(id, ended)) == sorted(map(id, tasks))
    assert line.wait(0.0) is None
    for i, task in enumerate(tasks):
        assert task.error is None
        assert len(task.results()) == len(files[i % len(files) :][:3])
        assert task.patches == len(task.results())
    line.dismiss(1)
    line.close()
    for thread in threads:
        thread.join(20.0)
        assert not thread.is_alive()


def test_what_a_thread_cannot_help_is_said_by_the_task(plan_of, made_up):
    plan = plan_of(bigearthnet_s1=made_up.sentinel_1)

    def larger(buffer, used, needed):
        assert (len(buffer), used) == (10, 0)
        assert needed > 100_000
        raise MemoryError("no more")

    line = _tiff.Line(larger)
    thread = threading.Thread(target=new_encoder(plan).serve, args=(line,), daemon=True)
    thread.start()
    line.put(_tiff.Task([plan.files(plan.patches[0])], np.empty(10, "u1")))
    task = line.wait(20.0)
    assert isinstance(task.error, MemoryError)
    assert task.results() == []
    line.close()
    thread.join(20.0)


def test_what_is_stored_is_said_in_columns(plan_of, made_up, tmp_path):
    plan = plan_of(bigearthnet_s1=made_up.sentinel_1, bigearthnet_s2=made_up.sentinel_2)
    of_source = [
        [plan.files(patch) for patch in plan.patches if patch.place.source == source]
        for source in (0, 1)
    ]
    lost = (0, os.fsencode(tmp_path), b"a\0b\0")
    files = [lost, *of_source[0][:2], lost, of_source[1][0], of_source[0][0], lost]
    line = _tiff.Line(lambda *_: pytest.fail("there is room"))
    thread = threading.Thread(target=new_encoder(plan).serve, args=(line,), daemon=True)
    thread.start()
    line.put(_tiff.Task(files, np.empty(1 << 20, "u1")))
    task = line.wait(20.0)
    line.close()
    thread.join(20.0)
    results = task.results()
    assert sorted(task.failures) == [0, 3, 6]
    assert all(results[index] is error for index, error in task.failures.items())
    stored = [result for result in results if not isinstance(result, PatchError)]
    assert [bytes(value) for value in task.values()] == [
        task.out[start:stop].tobytes() for start, stop, *_ in stored
    ]
    assert task.size == sum(map(len, task.values()))
    _, first, second, third = (header for _, _, header, _, _ in stored)
    assert task.headers() == [(first, 2), (second, 1), (third, 1)]
    assert first == third != second
    assert list(struct.iter_unpack("<16sQQ", task.facts())) == [
        (digest, stop - start, mark) for start, stop, _, mark, digest in stored
    ]
