"""Discovery: what is found, what is left aside, and what is refused."""

import gc
import itertools
import os
import threading
import tracemalloc

import pytest

from rs_tensor_encoder.errors import SourceError
from rs_tensor_encoder.inspection.identify import tail
from rs_tensor_encoder.layouts.parser import parse
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.left_aside import Reason
from rs_tensor_encoder.sources.plan import Source
from trees import PATCHES, SIBLINGS

S1 = "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_{}_48"
S2 = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_{}_57"
TILE = "ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z"
ENMAP = "ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_2022Z-Y01460273_X0311043{}"


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def keys(plan):
    return [patch.key.decode() for patch in plan.patches]


def test_any_depth_and_sorted_by_key(plan_of, tmp_path):
    for number, place in {9: "a/b/c", 10: ".", 2: "z"}.items():
        touch(tmp_path / place / S1.format(number) / f"{S1.format(number)}_VV.tif")
    plan = plan_of(bigearthnet_s1=tmp_path)
    assert keys(plan) == [S1.format(n) for n in (10, 2, 9)]
    deep = plan.patches[2]
    files = plan.files(deep)
    assert files.directory == bytes(tmp_path / "a/b/c" / S1.format(9))
    assert files.names == b"".join(f"{S1.format(9)}_{b}\0".encode() for b in ("VV", "VH"))


def test_hidden_files_and_litter_are_skipped(plan_of, tmp_path):
    name = S2.format(26) + "_reference_map"
    for litter in (
        f"a/._{name}.tif",
        f".hidden/{name}.tif",
        "a/.DS_Store",
        f"a/{name}.tif.aux.xml",
    ):
        touch(tmp_path / litter)
    touch(tmp_path / "a" / f"{name}.tif")
    assert keys(plan_of(bigearthnet_reference_maps=tmp_path)) == [name]


@pytest.mark.parametrize("extension", [".tif", ".TIF", ".tiff", ".TIFF"])
def test_extensions_of_file_patches_are_alike(plan_of, tmp_path, extension):
    name = S2.format(26) + "_reference_map"
    touch(tmp_path / (name + extension))
    assert keys(plan_of(bigearthnet_reference_maps=tmp_path)) == [name]


def test_reference_maps_are_not_sentinel_2_patches(plan_of, tmp_path):
    for number in (26, 27):
        name = S2.format(number)
        touch(tmp_path / "Reference_Maps" / "tile" / name / f"{name}_reference_map.tif")
    with pytest.raises(SourceError, match="but files of another dataset") as caught:
        plan_of(bigearthnet_s2=tmp_path / "Reference_Maps")
    assert ". Left aside: 2 directories with names like patches" in str(caught.value)
    # A root above both yields each patch once, and says what it left out.
    name = S2.format(26)
    touch(tmp_path / "BigEarthNet-S2" / "tile" / name / f"{name}_B01.tif")
    plan = plan_of(bigearthnet_s2=tmp_path)
    assert keys(plan) == [name]
    assert plan.left_aside.tallies[Reason.OTHER_DATASET].count == 2
    assert keys(plan_of(bigearthnet_reference_maps=tmp_path)) == [
        S2.format(n) + "_reference_map" for n in (26, 27)
    ]


def test_broken_patches_are_patches(plan_of, tmp_path):
    """An empty directory, or one that misses bands, must fail later, not vanish now."""
    (tmp_path / S2.format(11)).mkdir()
    touch(tmp_path / S2.format(12) / f"{S2.format(12)}_B01.tif")
    touch(tmp_path / S2.format(13) / f"{S2.format(13)}_reference_map.tif")
    touch(tmp_path / "alone" / S2.format(14) / "misnamed.tif")
    plan = plan_of(bigearthnet_s2=tmp_path)
    assert keys(plan) == [S2.format(n) for n in (11, 12, 13, 14)]
    assert plan.left_aside.tallies == {}


def test_the_same_patch_twice(plan_of, tmp_path):
    for place in ("a", "b"):
        touch(tmp_path / place / S1.format(7) / f"{S1.format(7)}_VV.tif")
    with pytest.raises(SourceError) as caught:
        plan_of(bigearthnet_s1=tmp_path)
    assert str(tmp_path / "a" / S1.format(7)) in str(caught.value)
    assert str(tmp_path / "b" / S1.format(7)) in str(caught.value)
    assert caught.value.exit_code == 3


def test_keys_that_are_too_long(tmp_path):
    text = """
title = "Long"
link = ""
option = "--long"
patch = "directory"
path = '(?P<a>a+)/(?P<b>b+)/c+'
key = "{a}{b}{name}"
[[files]]
path = "x.tif"
bands = ["X"]
"""
    layout = parse("long", text.encode())
    for size, fits in ((111, True), (112, False)):
        root = tmp_path / str(size)
        (root / ("a" * 200) / ("b" * 200) / ("c" * size)).mkdir(parents=True)
        if fits:
            assert len(discover([Source(layout, str(root))]).patches[0].key) == 511
        else:
            with pytest.raises(SourceError, match="would take 512 bytes"):
                discover([Source(layout, str(root))])


def test_names_that_are_not_utf_8(plan_of, tmp_path):
    name = os.fsencode(ENMAP.format(8)).replace(b"_2022Z", b"_\xff\xfeZ")
    os.makedirs(os.path.join(bytes(tmp_path), name))
    with pytest.raises(SourceError, match="not valid UTF-8"):
        plan_of(hyspecnet=tmp_path)


@pytest.mark.parametrize("option", ["bigearthnet_s1", "hyspecnet"])
def test_nothing_found_says_what_was_looked_for(plan_of, tmp_path, option):
    touch(tmp_path / "something" / "else.tif")
    with pytest.raises(SourceError) as caught:
        plan_of(**{option: tmp_path})
    assert str(tmp_path) in str(caught.value)
    assert "no patches of" in str(caught.value)
    assert caught.value.exit_code == 3


def test_roots_that_are_not_there(plan_of, tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        plan_of(hyspecnet=tmp_path / "nowhere")
    touch(tmp_path / "file")
    with pytest.raises(SourceError, match="is not a directory"):
        plan_of(hyspecnet=tmp_path / "file")
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(SourceError, match=r"is a symbolic link that leads nowhere \(to gone\)"):
        plan_of(hyspecnet=tmp_path / "link")


@pytest.mark.parametrize("name", PATCHES)
def test_a_root_too_deep_is_told_a_directory_that_will_do(plan_of, layouts, tmp_path, name):
    path, key = PATCHES[name]
    layout = layouts[name]
    groups = layout.match(tail(layout, path.split("/")))
    patch = tmp_path / path
    for file in layout.names(groups):
        touch((patch.parent if layout.of_files else patch) / f"{file}.tif")
    option = name.replace("-", "_")
    roots = [place for place in (patch, *patch.parents) if tmp_path in place.parents]
    for root in roots[layout.of_files :]:
        try:
            plan = plan_of(**{option: root})
        except SourceError as error:
            kind = "is a single patch of" if root == patch else "lies too deep in"
            advice = f"The root {kind} it: name a directory above, such as "
            plan = plan_of(**{option: str(error).partition(advice)[2]})
        assert keys(plan) == [key]


def test_a_root_too_high_is_told_where_patches_are(plan_of, tmp_path, monkeypatch):
    touch(tmp_path / "renamed" / "0000649" / "00020.tif")
    with pytest.raises(SourceError, match=r"The root lies too high above it: name .*/renamed$"):
        plan_of(spectral_earth=tmp_path)
    monkeypatch.chdir(tmp_path / "renamed" / "0000649")
    with pytest.raises(SourceError, match=r"name a directory above, such as \.\.$"):
        plan_of(spectral_earth=".")
    assert keys(plan_of(spectral_earth="..")) == ["0000649_00020.tif"]


def test_links_to_directories_are_named_not_followed(plan_of, tmp_path):
    outside = tmp_path / "outside"
    touch(outside / S1.format(7) / f"{S1.format(7)}_VV.tif")
    touch(tmp_path / "root" / S1.format(8) / f"{S1.format(8)}_VV.tif")
    (tmp_path / "root" / "link").symlink_to(outside)
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root")
    plan = plan_of(bigearthnet_s1=tmp_path / "root")
    assert keys(plan) == [S1.format(8)]
    tally = plan.left_aside.tallies[Reason.LINK_TO_DIRECTORY]
    assert (tally.count, tally.example) == (2, str(tmp_path / "root" / "link"))
    # The root itself may be one.
    (tmp_path / "linked").symlink_to(tmp_path / "root")
    assert keys(plan_of(bigearthnet_s1=tmp_path / "linked")) == [S1.format(8)]


def test_samples_are_found_and_the_rest_is_not(plan_of, samples):
    plan = plan_of(
        bigearthnet_s1=samples / "BigEarthNet",
        bigearthnet_s2=samples / "BigEarthNet" / "BigEarthNet-S2",
        bigearthnet_reference_maps=samples,
        hyspecnet=samples,
    )
    assert keys(plan) == [
        f"{TILE}-Y01460273_X03110438",
        "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_70_48",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57_reference_map",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43",
    ]


SCENE = "S1A_IW_GRDH_1SDV_20200607T010800_20200607T{}_032904_03CFBA_D457"


@pytest.mark.parametrize(
    ("option", "place", "name"),
    [
        ("bigearthnet_s1", "tile", S1.replace("165043", "{}").replace("_{}_48", "_7_48")),
        # Long keys, four in a directory.
        ("ssl4eo_s12_s1", "{:07d}", SCENE),
    ],
)
def test_a_patch_takes_little_memory(plan_of, tmp_path, made_up, option, place, name):
    count = 3000
    for number in range(count):
        (tmp_path / place.format(number // 4) / name.format(f"{number:06d}")).mkdir(parents=True)
    plan_of(bigearthnet_s1=made_up.sentinel_1)  # what is imported on first use
    tracemalloc.start()
    plan = plan_of(**{option: tmp_path})
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(plan.patches) == count
    assert size / count < 250
    patch = plan.patches[7]
    assert plan.locate(patch) == str(tmp_path / place.format(1) / name.format("000007"))


def test_optional_files_are_looked_for_many_at_once(tmp_path, monkeypatch):
    layout = parse("own", SIBLINGS.replace("[a-z]", "[a-z]+").encode()).asking(["mask", "label"])
    for number in range(200):
        name = "".join("abcdefghij"[int(digit)] for digit in f"{number:03}")
        touch(tmp_path / "images" / f"{name}.tif")
        if number % 3:
            touch(tmp_path / "masks" / f"{name}.TIF")
    plan = discover([Source(layout, str(tmp_path))])
    expected = [plan.files(patch) for patch in plan.patches]
    assert {files.format for files in expected} == {0, 1}
    # Each of the first looks waits until others are made, too.
    together = threading.Barrier(8, timeout=20)
    looks = itertools.count()
    lstat = os.lstat

    def slow(path):
        if next(looks) < 8:
            together.wait()
        return lstat(path)

    monkeypatch.setattr("rs_tensor_encoder.sources.plan.os.lstat", slow)
    assert list(plan.files_of(plan.patches)) == expected
    assert next(looks) > 200


def test_garbage_collection_goes_on_after_a_search(made_up, tmp_path, plan_of):
    plan_of(bigearthnet_s1=made_up.sentinel_1)
    assert gc.isenabled()
    with pytest.raises(SourceError):
        plan_of(bigearthnet_s1=tmp_path / "nowhere")
    assert gc.isenabled()
    gc.disable()
    try:
        plan_of(bigearthnet_s1=made_up.sentinel_1)
        assert not gc.isenabled()
    finally:
        gc.enable()
