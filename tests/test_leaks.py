"""Many decodes, failing ones among them: memory and descriptors stay as they are.

`make leaks N=1000000` does a million.
"""

import os
import resource

import numpy as np
import pytest
import tifffile

from harm import TALLY
from rs_tensor_encoder import _tiff
from rs_tensor_encoder.errors import PatchError
from tiff_factory import SHORT, ramp, strips

DECODES = int(os.environ.get("RS_TENSOR_DECODES", "30000"))


def resident():
    """Bytes of memory of this process, and how many descriptors it has open."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return pages * resource.getpagesize(), len(os.listdir("/proc/self/fd"))


@pytest.fixture
def files(tmp_path):
    """Good files and bad ones of every kind: names, and whether each is good."""
    good = {}
    for codec in [None, "deflate", "lzw", "packbits", "zstd", "lzma", "lerc"]:
        path = tmp_path / f"{codec}.tif"
        tifffile.imwrite(path, ramp(64, 64), compression=codec, rowsperstrip=16, metadata=None)
        good[path.stem] = True
        data = path.read_bytes()
        for name, harmed in {
            "cut": data[:-100],
            "head": data[:100],
            "bits": data[:-200] + bytes(byte ^ 0x55 for byte in data[-200:-150]) + data[-150:],
        }.items():
            (tmp_path / f"{codec}-{name}.tif").write_bytes(harmed)
            # Damage in what has no checksum is not seen: other pixels, but no leak either.
            good[f"{codec}-{name}"] = None if name == "bits" else False
    tiff = strips(ramp(), 8, compress=True)
    tiff.tags[266] = (SHORT, [2])
    tiff.write(tmp_path / "fill-order.tif")
    tifffile.imwrite(tmp_path / "bands.tif", np.zeros((3, 9, 9), "u1"), photometric="rgb")
    (tmp_path / "text.tif").write_text("no TIFF at all")
    return good | {"fill-order": False, "bands": False, "text": False, "missing": False}


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_memory_and_descriptors_stay(files, tmp_path):
    out = np.empty(1 << 20, np.uint8)
    batch = [(0, bytes(tmp_path), name.encode() + b"\0") for name in files]
    turns = DECODES // len(batch) + 1
    before = None
    for turn in range(turns):
        # An encoder is not for ever, either.
        if turn % 50 == 0:
            encoder = _tiff.Encoder([[["A"]]], [".tif"])
        results, needed = encoder.encode(batch, out)
        assert not needed
        for result, good in zip(results, files.values(), strict=True):
            assert good is None or isinstance(result, PatchError) is not good
        # What is kept for good is there after the first tenth.
        if turn == max(200, turns // 10):
            before = resident()
    after = resident()
    TALLY["decodes, failing ones among them, in flat memory"] += turns * len(batch)
    assert before is not None
    assert after[1] == before[1]
    # A leak of a byte per decode would be seen in a million; the rest is the allocator's.
    assert after[0] - before[0] < 1 << 20
