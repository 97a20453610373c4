"""The layouts that come with the package: on real samples, and on trees that look like them."""

import json

import pytest

from oracles import rasterio_bands, records, value_of
from rs_tensor_encoder.inspection.identify import tail
from rs_tensor_encoder.layouts.files_section import stem
from rs_tensor_encoder.layouts.parser import builtin
from trees import PATCHES, grow

NAMES = [layout.name for layout in builtin()]

# Where the real samples lie; the others have none.
SAMPLES = {
    "bigearthnet-reference-maps": "BigEarthNet",
    "bigearthnet-s1": "BigEarthNet",
    "bigearthnet-s2": "BigEarthNet",
    "eurosat-ms": "EuroSAT_MS",
    "hydro": "Hydro",
    "hyspecnet": "HySpecNet-11k",
    "major-tom-s2-l2a": "Major-TOM-Core",
    "ssl4eo-s12-s1": "SSL4EO-S12",
    "ssl4eo-s12-s2-l1c": "SSL4EO-S12",
    "ssl4eo-s12-s2-l2a": "SSL4EO-S12",
    "uc-merced": "UCMerced_LandUse",
}


def expected(layout, directory, groups, extension=".tif"):
    """The value of a patch, by rasterio and safetensors."""
    tensors = {}
    for file in layout.files:
        path = directory / (file.path.format_map(groups) + extension)
        if path.exists() or not file.optional:
            tensors |= zip(file.bands, rasterio_bands(path), strict=True)
    return value_of(tensors)


def prove(run, layout, root, target, wanted, *more):
    """Encode a tree; compare every record with what others make of it; check it."""
    source = [layout.option, root, *more]
    outcome = run(*source, target, "-q")
    assert outcome.code == 0, outcome
    found = records(target)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key] == value, key
    assert run("check", *source, target, "-q", "--workers", "1").code == 0
    return outcome


def test_every_dataset_is_tested():
    assert list(PATCHES) == NAMES
    assert SAMPLES.keys() <= PATCHES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_that_looks_like_it(name, layouts, run, tmp_path):
    layout = layouts[name]
    path, key = PATCHES[name]
    (tmp_path / "tree").mkdir()
    grow(layout, tmp_path / "tree")
    groups = layout.match(tail(layout, path.split("/")))
    directory = tmp_path / "tree" / path
    directory = directory.parent if layout.of_files else directory
    wanted = {key.encode(): expected(layout, directory, groups)}
    prove(run, layout, tmp_path / "tree", tmp_path / "out", wanted)
    if layout.requests:
        asked = layout.asking(layout.requests)
        wanted = {key.encode(): expected(asked, directory, groups)}
        more = [word for request in layout.requests for word in ("--with", request)]
        prove(run, layout, tmp_path / "tree", tmp_path / "more", wanted, *more)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_real_samples(name, layouts, run, samples, tmp_path):
    layout = layouts[name]
    root = samples / SAMPLES[name]
    wanted = {}
    for path in sorted(root.rglob("*")):
        base = stem(path.name) if layout.of_files else path.name
        if path.is_dir() is layout.of_files or base is None:
            continue
        parts = [*path.relative_to(samples).parent.parts, base]
        groups = layout.match(tail(layout, parts))
        # The directories of reference maps look like patches of Sentinel-2.
        if groups is None or (name == "bigearthnet-s2" and "Reference_Maps" in parts):
            continue
        directory = path.parent if layout.of_files else path
        extension = ".TIF" if name == "hyspecnet" else ".tif"
        key = layout.key.format_map(groups).encode()
        wanted[key] = expected(layout, directory, groups, extension)
    assert wanted
    prove(run, layout, root, tmp_path / "out", wanted)


def test_keys_of_real_names(plan_of, samples):
    """What existing readers look for, letter by letter."""
    plan = plan_of(
        eurosat_ms=samples,
        hydro=samples,
        major_tom_s2_l2a=samples,
        ssl4eo_s12_s1=samples,
        ssl4eo_s12_s2_l1c=samples,
        ssl4eo_s12_s2_l2a=samples,
        uc_merced=samples,
    )
    product = "S2A_MSIL2A_20220706T085611_N0400_R007_T33NZA_20220706T153419"
    assert [patch.key.decode() for patch in plan.patches] == [
        f"0U_199R_{product}",
        "Pasture_300",
        "SeaLake_3000",
        "airplane00",
        "airplane42",
        "patch_0",
        "patch_10",
        "patch_1000",
        "s1_0000200_S1A_IW_GRDH_1SDV_20200607T010800_20200607T010825_032904_03CFBA_D457",
        "s2a_0000200_20200604T054639_20200604T054831_T43RCP",
        "s2c_0000200_20200604T054639_20200604T054831_T43RCP",
    ]


L2A = "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12"
L1C = "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12"
L1C_SHORT = "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B10 B11 B12"

# What the bands of multi-band files are, in file order; of others, which there are.
BANDS = {
    "eurosat-ms": "B01 B02 B03 B04 B05 B06 B07 B08 B09 B10 B11 B12 B08A",
    "fields-of-the-world": "B04 B03 B02 B08",
    "fmow-sentinel": L1C_SHORT,
    "hls-burn-scars": "B02 B03 B04 B8A B11 B12",
    "hydro": L2A,
    "sen12ms-lc": "IGBP LCCS_LC LCCS_LU LCCS_SH",
    "sen12ms-s1": "VV VH",
    "sen12ms-s2": L1C,
    "sen1floods11-hand": f"VV VH {L1C_SHORT}",
    "sen1floods11-weak": f"VV VH {L1C_SHORT}",
    "ssl4eo-l-etm-sr": "B1 B2 B3 B4 B5 B7",
    "ssl4eo-l-etm-toa": "B1 B2 B3 B4 B5 B6_VCID_1 B6_VCID_2 B7 B8",
    "ssl4eo-l-oli-sr": "B1 B2 B3 B4 B5 B6 B7",
    "ssl4eo-l-oli-tirs-toa": "B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11",
    "ssl4eo-l-tm-toa": "B1 B2 B3 B4 B5 B6 B7",
    "treesatai": "IR G B R VV VH VV/VH B02 B03 B04 B08 B05 B06 B07 B8A B11 B12 B01 B09",
    "uc-merced": "Red Green Blue",
}
SETS = {
    "bigearthnet-reference-maps": "Data",
    "bigearthnet-s1": "VV VH",
    "bigearthnet-s2": L2A,
    "major-tom-dem": "DEM",
    "major-tom-s1-rtc": "vv vh",
    "major-tom-s2-l1c": L1C,
    "major-tom-s2-l2a": L2A,
    "seco": L1C_SHORT.replace(" B10", ""),
    "ssl4eo-s12-s1": "VV VH",
    "ssl4eo-s12-s2-l1c": L1C_SHORT,
    "ssl4eo-s12-s2-l2a": L1C_SHORT.replace(" B10", ""),
}


def test_tensors_that_readers_look_for(layouts):
    for name, bands in BANDS.items():
        assert " ".join(layouts[name].bands) == bands, name
    for name, bands in SETS.items():
        assert set(layouts[name].bands) == set(bands.split()), name
    assert layouts["hyspecnet"].bands == tuple(f"B{i}" for i in range(1, 225))
    assert layouts["spectral-earth"].bands == tuple(f"B{i}" for i in range(1, 203))
    assert len(BANDS) + len(SETS) + 2 == len(layouts)


# ---- roots --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ssl4eo-s12-s2-l2a", "ssl4eo-l-oli-sr", "spectral-earth"])
def test_a_renamed_root_does_not_change_the_keys(name, layouts, plan_of, tmp_path):
    layout = layouts[name]
    path, key = PATCHES[name]
    grow(layout, tmp_path)
    first = tmp_path / path.split("/")[0]
    inner = next(p for p in (first, *first.iterdir()) if any(c.name.isdigit() for c in p.iterdir()))
    renamed = inner.rename(tmp_path / "renamed")
    plan = plan_of(**{name.replace("-", "_"): renamed})
    assert [patch.key.decode() for patch in plan.patches] == [key]


def test_both_windows_of_a_field_are_kept(layouts, plan_of, tmp_path):
    layout = layouts["fields-of-the-world"]
    grow(layout, tmp_path, "ftw/austria/s2_images/window_a/g_0")
    grow(layout, tmp_path, "ftw/austria/s2_images/window_b/g_0")
    keys = [patch.key.decode() for patch in plan_of(fields_of_the_world=tmp_path).patches]
    assert keys == ["austria_window_a_g_0", "austria_window_b_g_0"]


# ---- another dataset's tree -----------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_of_another_dataset(name, layouts, run, tmp_path):
    """Nothing is found, or all of it is this dataset's, too; never a wrong record."""
    layout = layouts[name]
    for other in builtin():
        if other.name != name and not {name, other.name} <= SAME_NAMES:
            path = tmp_path / other.name
            (path / PATCHES[other.name][0]).parent.mkdir(parents=True)
            touch(other, path)
            outcome = run(layout.option, path, tmp_path / "out")
            assert outcome.code == 3, (name, other.name, outcome)
            assert f"no patches of {layout.title} found" in outcome.err
            assert other.option in outcome.err, (name, other.name, outcome)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "other"),
    [("ssl4eo-s12-s2-l1c", "ssl4eo-s12-s2-l2a"), ("ssl4eo-s12-s2-l2a", "ssl4eo-s12-s2-l1c")],
)
def test_the_level_is_told_by_the_files(name, other, layouts, run, tmp_path):
    """Given the directory itself, names are the same; L1C has all files of L2A, and one more."""
    grow(layouts[other], tmp_path)
    root = tmp_path.joinpath(*PATCHES[other][0].split("/")[:2])
    outcome = run(layouts[name].option, root, tmp_path / "out")
    assert outcome.code == 3
    assert "1 directory with a name like a patch, but files of another dataset" in outcome.err
    assert f"It looks like {layouts[other].title} ({layouts[other].option})" in outcome.err
    # What merely lacks a band is a broken patch of its own dataset.
    grow(layouts[name], tmp_path / "own")
    root = tmp_path.joinpath("own", *PATCHES[name][0].split("/")[:2])
    next(root.rglob("B2.tif")).unlink()
    outcome = run(layouts[name].option, root, tmp_path / "out", "-q")
    assert outcome.code == 1
    assert "B2.tif: there is no such file" in outcome.err


# Same names, same files, other numbers of bands.
SAME_NAMES = {name for name in NAMES if name.startswith("ssl4eo-l-")}


@pytest.mark.parametrize("name", sorted(SAME_NAMES))
def test_a_tree_with_the_same_names_and_other_bands(name, layouts, run, tmp_path):
    others = [layouts[other] for other in SAME_NAMES - {name}]
    for other in others:
        # Given the directory itself, nothing but the number of bands tells them apart.
        path = PATCHES[other.name][0]
        grow(other, tmp_path / "tree")
        root = tmp_path / "tree" / path.split("/")[0]
        outcome = run(layouts[name].option, root, tmp_path / "out")
        assert outcome.code == 3
        assert f"no patches of {layouts[name].title} found" in outcome.err
        assert f"It looks like {other.title} ({other.option})" in outcome.err
    assert not (tmp_path / "out").exists()


def touch(layout, root):
    """Make the files of a patch, empty."""
    path = PATCHES[layout.name][0]
    groups = layout.match(tail(layout, path.split("/")))
    directory = root / path if not layout.of_files else (root / path).parent
    for file in layout.every:
        target = directory / (file.path.format_map(groups) + ".tif")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()


def test_dry_run_tells_the_sources_apart(run, samples, tmp_path):
    outcome = run(
        "--uc-merced", samples, "--eurosat-ms", samples, "--hydro", samples, tmp_path / "out",
        "--dry-run", "--json",
    )  # fmt: skip
    rows = {row["layout"]: row["patches"] for row in json.loads(outcome.out)["sources"]}
    assert rows == {"eurosat-ms": 2, "hydro": 3, "uc-merced": 2}
