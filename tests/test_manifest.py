"""The sidecar: written whole, read with care."""

import json
import os

import pytest

from rs_tensor_encoder.errors import TargetError
from rs_tensor_encoder.storage.manifest import NAME, Manifest, boot_id, tensor_table, write_json


def test_what_is_saved_is_loaded(tmp_path):
    manifest = Manifest(sources=[{"layout": "a", "digest": "b", "root": "c"}], boot="x", patches=3)
    manifest.save(str(tmp_path))
    assert Manifest.load(str(tmp_path)) == manifest
    assert os.listdir(tmp_path) == [NAME]


def test_no_manifest(tmp_path):
    assert Manifest.load(str(tmp_path)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "x": 2}'])
def test_a_torn_or_foreign_manifest_is_an_error(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(TargetError, match=NAME):
        Manifest.load(str(tmp_path))


@pytest.mark.parametrize(
    "forged",
    [
        {"sources": [{"layout": "x", "root": "x"}]},
        {"sources": [{"digest": "x", "root": "x"}]},
        {"left_out": [{"path": "x"}]},
        {"tensors": [{"dtype": "U8", "shape": [1, 1], "patches": 1}]},
        {"tensors": [{"dtype": "U8", "shape": [1, 1], "name": []}]},
    ],
)
def test_entries_that_lack_something(tmp_path, forged):
    manifest = Manifest([])
    for name, value in forged.items():
        setattr(manifest, name, value)
    manifest.save(str(tmp_path))
    with pytest.raises(TargetError, match=r"cannot be understood: '.*' is not what it should be"):
        Manifest.load(str(tmp_path))


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json(str(path), {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(str(path), {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_survival():
    assert Manifest([], boot=None).survived()
    assert Manifest([], boot=boot_id()).survived()
    assert not Manifest([], boot="another").survived()


def test_tensors_are_counted_in_natural_order():
    def header(**tensors):
        entries = {
            n: {"dtype": "U8", "shape": s, "data_offsets": [0, 1]} for n, s in tensors.items()
        }
        return b"12345678" + json.dumps({"__metadata__": {}} | entries).encode()

    table = tensor_table({header(B10=[1, 1], B2=[1, 1], B8A=[1, 1]): 3, header(B2=[2, 2]): 4})
    assert [(t["name"], t["shape"], t["patches"]) for t in table] == [
        ("B2", [1, 1], 3),
        ("B2", [2, 2], 4),
        ("B8A", [1, 1], 3),
        ("B10", [1, 1], 3),
    ]
