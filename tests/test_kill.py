"""kill -9 at random moments: the target never appears, and nothing is done twice or lost."""

import os
import random
import re
import shutil
import subprocess
import sys
import time

import pytest

from oracles import records
from rs_tensor_encoder.database import can_verify, verify

KILLS = int(os.environ.get("RS_TENSOR_KILLS", "10"))


@pytest.fixture(scope="module")
def undisturbed(many_patches, tmp_path_factory):
    """Records and size of a run that nobody disturbed."""
    target = tmp_path_factory.mktemp("undisturbed") / "out"
    done = subprocess.run(words(many_patches, target), check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    return records(target), (target / "data.mdb").stat().st_size


def words(root, target):
    command = [sys.executable, "-m", "rs_tensor_encoder", "--bigearthnet-s1-root", str(root)]
    return [*command, str(target), "-q"]


def test_kills_at_random_moments(many_patches, undisturbed, tmp_path):
    expected, size = undisturbed
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    print(f"seed {seed}")
    resumed = 0
    for index in range(KILLS):
        target = tmp_path / f"{index}"
        process = subprocess.Popen(
            words(many_patches, target), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        # A moment is a size that the database has reached: from nothing to almost all.
        moment = chance.random() * 0.9 * size
        data = tmp_path / f"{index}.partial" / "data.mdb"
        while process.poll() is None and not (data.exists() and data.stat().st_size >= moment):
            time.sleep(0.0002)
        process.kill()
        assert process.communicate() == (b"", b"")
        assert process.returncode == -9
        assert not target.exists()
        if can_verify() and data.exists() and data.stat().st_size:
            assert verify(str(data.parent)) == []
        again = subprocess.run(
            words(many_patches, target), capture_output=True, text=True, check=True
        )
        assert again.stderr == ""
        kept = re.search(r"([\d,]+) kept from before", again.stdout)
        resumed += kept is not None
        encoded = re.search(r"([\d,]+) patch(es)? encoded", again.stdout)
        counts = [int(found[1].replace(",", "")) for found in (kept, encoded) if found]
        assert sum(counts) == len(expected)
        assert records(target) == expected
        shutil.rmtree(target)
    assert resumed > 0
