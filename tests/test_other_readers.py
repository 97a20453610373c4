"""Programs in other languages read a database as it is: in C by liblmdb, in Node by node-lmdb."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from oracles import records
from rs_tensor_encoder.encoding.encode import encode

HERE = Path(__file__).parent


@pytest.fixture
def target(bigearthnet, tmp_path):
    encode(bigearthnet, str(tmp_path / "out"))
    return tmp_path / "out"


def written(words, **options):
    """Records that a reader writes to its standard output, in order."""
    done = subprocess.run(words, capture_output=True, check=False, timeout=300, **options)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    items, at = [], 0
    while at < len(done.stdout):
        length = int.from_bytes(done.stdout[at : at + 8], "little")
        items.append(done.stdout[at + 8 : at + 8 + length])
        assert len(items[-1]) == length
        at += 8 + length
    return list(zip(items[::2], items[1::2], strict=True))


def test_a_program_in_c_reads_the_database(target, tmp_path):
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
    if compiler is None:
        pytest.skip("there is no C compiler")
    header = subprocess.run(
        [compiler, "-E", "-x", "c", "-", "-o", os.devnull],
        input="#include <lmdb.h>\n", text=True, capture_output=True, check=False,
    )  # fmt: skip
    if header.returncode:
        pytest.skip("lmdb.h is not installed (apt-get install liblmdb-dev)")
    program = tmp_path / "reader"
    words = [compiler, "-Wall", "-Wextra", "-Werror", HERE / "reader.c", "-o", program, "-llmdb"]
    subprocess.run(words, check=True)
    assert written([program, target]) == list(records(target).items())
    # What is not a database is told from one.
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "data.mdb").write_bytes(b"\1" * 8192)
    refused = subprocess.run([program, tmp_path / "none"], capture_output=True, check=False)
    assert refused.returncode == 1
    assert b"MDB_INVALID" in refused.stderr


def test_a_program_for_node_reads_the_database(target):
    node = shutil.which("node")
    modules = Path(sys.prefix) / "node" / "node_modules"
    if node is None or not (modules / "node-lmdb").is_dir():
        pytest.skip("node and node-lmdb are not there (`make readers` installs node-lmdb by npm)")
    environment = os.environ | {"NODE_PATH": str(modules)}
    found = written([node, HERE / "reader.js", target], env=environment)
    assert found == list(records(target).items())
