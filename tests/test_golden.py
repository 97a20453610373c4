"""Keys and values of every layout, frozen: what a change of the code's structure must not change.

``golden.json`` has the SHA-256 of the digests (key, length, XXH3 of every value) of a database
made of one patch of each layout. It is written anew, on purpose, by
``python tests/test_golden.py`` only.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import pytest

from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.layouts.parser import builtin
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source
from trees import grow

GOLDEN = Path(__file__).parent / "golden.json"


def digest(layout, place):
    """SHA-256 of the digests of a patch of a layout, all of its files included."""
    grow(layout, place / "tree")
    plan = discover([Source(layout.asking(layout.requests), str(place / "tree"))])
    assert encode(plan, str(place / "out")).complete
    return hashlib.sha256((place / "out" / "rs-tensor-encoder.digests").read_bytes()).hexdigest()


@pytest.mark.parametrize("layout", builtin(), ids=lambda layout: layout.name)
def test_keys_and_values_are_the_frozen_ones(layout, tmp_path):
    assert digest(layout, tmp_path) == json.loads(GOLDEN.read_text())[layout.name]


def freeze():
    found = {}
    for layout in builtin():
        with tempfile.TemporaryDirectory() as place:
            found[layout.name] = digest(layout, Path(place))
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(freeze())
