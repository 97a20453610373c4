"""Reads by a snippet of the README in one process and in worker processes.

``test_reading.py`` runs this as ``python reading.py WHAT [METHOD] [ARGUMENTS]`` in a directory with
``snippet.py`` and a database, with each version of lmdb. It prints a JSON object on the last line.
"""

import hashlib
import importlib
import json
import multiprocessing
import pickle
import sys
from pathlib import Path

import lmdb
import numpy as np

WORKERS = 2


def digest(found):
    """A digest of what a snippet gives: an array, arrays by name, or a key and an array."""
    if isinstance(found, dict):
        return {name: digest(found[name]) for name in sorted(found)}
    if isinstance(found, tuple):
        return [digest(part) for part in found]
    if isinstance(found, str):
        return found
    found = np.asarray(found)
    return [hashlib.sha256(found.tobytes()).hexdigest(), str(found.dtype), list(found.shape)]


def call(task):
    """Call a function of the snippet; spawned workers import it, and read as it does so."""
    name, arguments = task
    return digest(getattr(importlib.import_module("snippet"), name)(*arguments))


def item(task):
    dataset, index = task
    return digest(dataset[index])


def spread(function, tasks, method):
    """Results of tasks in this process and, if a start method is given, in worker processes."""
    if method == "none":
        return [function(task) for task in tasks]
    with multiprocessing.get_context(method).Pool(WORKERS) as pool:
        return pool.map(function, tasks, chunksize=1)


def twice(times):
    """Run the snippet in one namespace, as a notebook does where a cell is run again."""
    namespace = {"__name__": "__main__"}
    text = Path("snippet.py").read_text(encoding="utf-8")
    for _ in range(int(times)):
        exec(compile(text, "snippet.py", "exec"), namespace)  # noqa: S102 (the README's)
    return True


def function(method, name, *arguments):
    """Call a function before, in, and after the workers."""
    task = (name, arguments)
    return [call(task), *spread(call, [task] * (2 * WORKERS), method), call(task)]


def datasets(method, path):
    """Items of a train and a validation dataset, each read before, in, and after the workers."""
    snippet = importlib.import_module("snippet")
    keys = snippet.names(path, "S2")
    train = snippet.Patches(path, keys[1:], ["B04", "B03", "B02"])
    validation = snippet.Patches(path, keys[:1], ["B04", "B03", "B02"])
    tasks = [(part, index) for part in (train, validation) for index in range(len(part))]
    here = [item(task) for task in tasks]
    there = spread(item, tasks, method)
    return {"keys": keys, "found": [here, there, [item(task) for task in tasks]]}


def loaders(method, path):
    """Batches of a train and a validation dataset from DataLoaders of PyTorch."""
    import torch

    snippet = importlib.import_module("snippet")
    keys = snippet.names(path, "S2")
    found = []
    for part in (keys[1:], keys[:1]):
        dataset = snippet.Patches(path, part, ["B04", "B03", "B02"])
        options = {"num_workers": WORKERS, "multiprocessing_context": method}
        loader = torch.utils.data.DataLoader(
            dataset, batch_size=2, **({} if method == "none" else options)
        )
        for _ in range(2):
            found.append([digest(patch.numpy()) for batch in loader for patch in batch])
            assert found[-1] == [digest(dataset[index]) for index in range(len(part))]
    return {"keys": keys, "found": [[*found[0], *found[2]], [*found[1], *found[3]]]}


def growth(path, transactions):
    """KiB that a forked process takes for transactions, where its parent has read before."""
    snippet = importlib.import_module("snippet")
    key = snippet.names(path)[0]

    def resident():
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0])

    def read(send):
        def some(count):
            for _ in range(count):
                with snippet.database(path).begin(buffers=True) as txn:
                    assert txn.get(key.encode()) is not None

        some(1000)
        before = resident()
        some(int(transactions))
        send.send(resident() - before)

    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=read, args=(send,))
    process.start()
    send.close()
    grown = receive.recv()
    process.join()
    return grown


def claims():
    """What the README says of lmdb and safetensors: error messages, or None where there is none."""
    import safetensors.numpy

    def error(function):
        try:
            function()
        except Exception as problem:  # noqa: BLE001 (whatever it is, is the answer)
            return f"{type(problem).__name__}: {problem}"
        return None

    def again():
        lmdb.open("Encoded-BigEarthNet", readonly=True, lock=False)

    env = lmdb.open("Encoded-BigEarthNet", readonly=True, lock=False)
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=lambda: send.send(error(again)))
    process.start()
    said = {"forked": receive.recv(), "pickle": error(lambda: pickle.dumps(env))}
    process.join()
    with env.begin(buffers=True) as txn:
        _, value = next(iter(txn.cursor()))
        said["buffer"] = error(lambda: safetensors.numpy.load(value))
        said["bytes"] = error(lambda: safetensors.numpy.load(bytes(value)))
    return said | {"again": error(again)}


if __name__ == "__main__":
    sys.path.insert(0, "")
    result = globals()[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({"lmdb": lmdb.__version__, "result": result}))
