"""What ThreadSanitizer watches: one encode with many threads; or two threads in one buffer.

`race.py planted` lets two threads decode into the same bytes: it must be found.
"""

import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import tifffile

from harm import write_source
from rs_tensor_encoder import _tiff
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.layouts.parser import builtin
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source
from tiff_factory import ramp, strips


def all_is_well(directory):
    """A source, with damaged files in it, encoded by eight threads in small batches."""
    layout = next(layout for layout in builtin() if layout.name == "bigearthnet-s1")
    root = write_source(directory / "source")
    files = sorted(root.rglob("*_VV.tif"))
    for path in files[::7]:
        path.write_bytes(path.read_bytes()[:-100])
    for path in files[1::7]:
        tifffile.imwrite(path, tifffile.imread(path), compression="lzw", rowsperstrip=17)
    plan = discover([Source(layout, str(root))])
    report = encode(plan, str(directory / "out"), workers=8, skip_failed=True)
    assert report.complete
    print(report.encoded, "encoded,", len(report.failures), "refused")


def planted(directory):
    """Two encoders, each in a thread of its own as it should be, but one buffer for both."""
    strips(ramp(2000, 2000), 3).write(directory / "x.tif")
    out = np.empty(9 << 20, np.uint8)

    def work():
        encoder = _tiff.Encoder([[["A"]]], [".tif"])
        for _ in range(20):
            encoder.encode([(0, bytes(directory), b"x\0")], out)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        (planted if sys.argv[1:] == ["planted"] else all_is_well)(Path(place))
