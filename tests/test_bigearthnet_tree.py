"""A tree with BigEarthNet version 1, version 2 and the reference maps side by side."""

import pytest
import safetensors.numpy

from oracles import rasterio_bands, records
from trees import S1_TILE, S2_TILE, grow

# Paths of patches by layout: those of version 2 lie in directories of their products, those of
# version 1 do not, and their names have neither baseline, orbit nor tile.
TREE = {
    "bigearthnet-s1": [
        f"BigEarthNet-S1/{S1_TILE}/{S1_TILE}_33UUP_70_48",
        f"BigEarthNet-S1-v1.0/{S1_TILE}_33UUP_61_39",
    ],
    "bigearthnet-s2": [
        f"BigEarthNet-S2/{S2_TILE}/{S2_TILE}_26_57",
        f"BigEarthNet-S2/{S2_TILE}/{S2_TILE}_75_43",
        "BigEarthNet-v1.0/S2A_MSIL2A_20170613T101031_75_43",
        "BigEarthNet-v1.0/S2A_MSIL2A_20180510T94033_19_86",
    ],
    "bigearthnet-reference-maps": [
        f"Reference_Maps/{S2_TILE}/{S2_TILE}_{place}/{S2_TILE}_{place}_reference_map"
        for place in ("26_57", "75_43")
    ],
}
KEYS = {
    "bigearthnet-s1": [f"{S1_TILE}_33UUP_61_39", f"{S1_TILE}_33UUP_70_48"],
    "bigearthnet-s2": [
        "S2A_MSIL2A_20170613T101031_75_43",
        f"{S2_TILE}_26_57",
        f"{S2_TILE}_75_43",
        "S2A_MSIL2A_20180510T94033_19_86",
    ],
    "bigearthnet-reference-maps": [
        f"{S2_TILE}_26_57_reference_map",
        f"{S2_TILE}_75_43_reference_map",
    ],
}


@pytest.fixture
def tree(layouts, tmp_path):
    """The tree, and the files of each key."""
    root, files = tmp_path / "tree", {}
    for name, paths in TREE.items():
        for path in paths:
            files[path.rpartition("/")[2]] = grow(layouts[name], root, path)
    for path in (TREE["bigearthnet-s1"][1], TREE["bigearthnet-s2"][2]):
        name = path.rpartition("/")[2]
        (root / path / f"{name}_labels_metadata.json").write_text("{}")
    (root / "metadata.parquet").write_bytes(b"PAR1")
    return root, files


def named(path, key):
    """The band of a file: what its name has behind the key; a reference map's is Data."""
    return path.stem[len(key) + 1 :] or "Data"


@pytest.mark.parametrize("names", [*[(name,) for name in TREE], tuple(TREE)], ids="+".join)
def test_each_layout_takes_its_own(run, tree, tmp_path, names):
    root, files = tree
    options = [word for name in names for word in (f"--{name}-root", root)]
    outcome = run(*options, tmp_path / "out")
    assert outcome.code == 0
    wanted = sorted(key for name in names for key in KEYS[name])
    assert f"verified, {len(wanted)} patches encoded" in outcome.out
    found = records(tmp_path / "out")
    assert [key.decode() for key in found] == wanted
    for key, value in found.items():
        bands = safetensors.numpy.load(value)
        paths = files[key.decode()]
        assert set(bands) == {named(path, key.decode()) for path in paths}
        for path in paths:
            pixels = rasterio_bands(path)[0]
            assert (bands[named(path, key.decode())] == pixels).all()
    checked = run("check", *options, tmp_path / "out")
    assert checked.code == 0
    assert f"no differences; {len(wanted)} of {len(wanted)} patches" in checked.out
    # The directories of the reference maps bear the names of Sentinel-2 patches: this is said,
    # by both verbs, and of nothing else.
    for err in (outcome.err, checked.err):
        assert not any(line.startswith("Note: ") for line in err.splitlines())
        said = (
            "2 directories with names like patches, but files of another dataset (for example "
            f"{root / 'Reference_Maps' / S2_TILE / f'{S2_TILE}_26_57'})"
        )
        assert err.count("files of another dataset") == ("bigearthnet-s2" in names)
        assert (said in err) == ("bigearthnet-s2" in names)


def test_a_patch_of_sentinel_1_in_both_versions_is_refused(run, tree, layouts, tmp_path):
    """Sentinel-1 patches have the same names in both: which one is meant cannot be told."""
    root, _ = tree
    again = f"BigEarthNet-S1-v1.0/{S1_TILE}_33UUP_70_48"
    grow(layouts["bigearthnet-s1"], root, again)
    outcome = run("--bigearthnet-s1-root", root, tmp_path / "out")
    assert outcome.code == 3
    assert str(root / again) in outcome.err
    assert str(root / TREE["bigearthnet-s1"][0]) in outcome.err
    assert not (tmp_path / "out").exists()
    for part in ("BigEarthNet-S1", "BigEarthNet-S1-v1.0"):
        assert run("--bigearthnet-s1-root", root / part, tmp_path / part).code == 0
