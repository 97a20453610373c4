"""Whatever is proposed for a tree is right for it: valid, accepted by --try, and encoded whole."""

import os
import tomllib
from collections import Counter

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from guess_trees import SHAPES, Shape, grid, plant
from oracles import records
from rs_tensor_encoder.errors import SourceError
from rs_tensor_encoder.inference import infer as module
from rs_tensor_encoder.inference import propose
from rs_tensor_encoder.inference.evaluate import attempt
from rs_tensor_encoder.inference.infer import guess
from rs_tensor_encoder.inference.validate import validate
from rs_tensor_encoder.inspection import tree_sample
from rs_tensor_encoder.inspection.tree_sample import look
from rs_tensor_encoder.layouts.files_section import EXTENSIONS, stem
from rs_tensor_encoder.layouts.parser import parse
from rs_tensor_encoder.layouts.templates import expand
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source


def held(root):
    """The layout that is proposed for a tree, its text and plan, after all that must hold."""
    text, remarks = guess(str(root))
    assert guess(str(root)) == (text, remarks)
    assert tomllib.loads(text)
    layout = parse("proposed", text.encode())
    trial = attempt(layout, str(root))
    assert (trial.problems, trial.lacking) == ([], []), text
    # The search refuses keys that are not unique.
    plan = discover([Source(layout.asking(layout.requests), str(root))])
    assert plan.patches, text
    read = read_by(plan)
    left = [path for path in tiffs_of(root) if path not in read]
    said = [remark for remark in remarks if remark.startswith("no place was found for ")]
    # What is left over is said, and nothing else is.
    number = f"no place was found for {len(left):,} TIFF file{'s' * (len(left) != 1)}: "
    assert [remark[: len(number)] for remark in said] == [number] * (left != [])
    return layout, text, plan, left


def read_by(plan):
    """Paths below the root of all files that are read for a plan."""
    root = plan.sources[0].root
    found = set()
    for patch in plan.patches:
        bases = [os.path.normpath(path) for path in plan.files(patch).paths]
        assert len(set(bases)) == len(bases)
        for base in bases:
            there = [base + extension for extension in EXTENSIONS]
            found.add(os.path.relpath(next(filter(os.path.exists, there)), root))
    return found


def tiffs_of(root):
    """Paths of TIFF files below a root, without hidden ones."""
    for directory, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if stem(name) is not None and not name.startswith("."):
                yield os.path.relpath(os.path.join(directory, name), root)


@pytest.mark.parametrize("name", SHAPES)
def test_proposals_are_right(name, run, tmp_path):
    """As a user would: guess, try, encode all that there is; and as a person would write it."""
    shape = SHAPES[name]
    root = plant(shape, tmp_path / "tree")
    if not shape.patches:
        refused(run("layouts", "--guess", root))
        return
    layout, text, plan, left = held(root)
    assert len(plan.patches) == shape.patches, text
    assert len(left) == shape.left, text
    assert sorted(layout.bands) == sorted(x for row in shape.bands.split() for x in expand(row))
    assert sorted(layout.requests) == sorted(shape.requests.split())
    if shape.key:
        assert plan.patches[0].key.decode() == shape.key
    file = tmp_path / "my.toml"
    outcome = run("layouts", "--guess", root)
    assert outcome.code == 0
    file.write_text(outcome.out)
    outcome = run("layouts", "--try", file, root)
    assert outcome.code == 0
    assert "Would fail" not in outcome.err
    asked = [word for request in layout.requests for word in ("--with", request)]
    out = tmp_path / "out"
    assert run("--layout", file, root, out, "-q", "--workers", "1", *asked).code == 0
    assert records(out).keys() == {patch.key for patch in plan.patches}


def refused(outcome):
    """What is said where no layout is right: one sentence, and nothing that looks like one."""
    assert outcome.code == 3
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert "no layout can be proposed that is right for all of its patches: " in outcome.err


def test_there_are_as_many_shapes_as_torchgeo_has():
    assert len(SHAPES) >= 57


# What the names of directories and of files are made of.
FOLDERS = [
    "", "a", "b", "images", "masks", "labels", "train", "val", "2021_03", "B01", "p1", "p2",
    "x.tif", "{name}", "{folder1}", "it's", "[0]", "a b", "é", "a_b",
]  # fmt: skip
WORDS = [
    "a", "b", "1", "2", "03", "img", "mask", "B1", "B8A", "RGB", "10m", "{band}", "{id}", "'", "é",
]  # fmt: skip
NAMES = st.builds(
    lambda words, separators: "".join(x + y for x, y in zip(words, separators, strict=True)),
    st.lists(st.sampled_from(WORDS), min_size=3, max_size=3),
    st.tuples(st.sampled_from(["", "_", ".", "-"]), st.sampled_from(["", "_", "."]), st.just("")),
)
PATHS = st.builds(
    lambda folders, name, end: "/".join([*filter(None, folders), name + end]),
    st.lists(st.sampled_from(FOLDERS), max_size=3),
    st.one_of(NAMES, st.sampled_from(WORDS)),
    st.sampled_from([".tif", ".tif", ".tif", ".TIF", ".tiff"]),
)
RANDOM = st.dictionaries(PATHS, st.sampled_from([(1, "u1"), (1, "f4"), (3, "u1"), (4, "u2")]),
                         min_size=1, max_size=14)  # fmt: skip


def without_clashes(files):
    """These files but for those whose path is a directory of others."""
    folders = {path[:i] for path in files for i, letter in enumerate(path) if letter == "/"}
    return {path: kind for path, kind in files.items() if path not in folders}


@st.composite
def mixtures(draw):
    """Shapes below directories of one tree, of which some files are missing."""
    files = {}
    for name in draw(st.lists(st.sampled_from(sorted(SHAPES)), min_size=1, max_size=3)):
        before = draw(st.sampled_from(["", "", "data/", "a b/c/", f"{name}/"]))
        files |= {before + path: kind for path, kind in SHAPES[name].files.items()}
    number = len(files)
    missing = draw(st.sets(st.integers(0, number - 1), max_size=min(4, number - 1)))
    files = {path: kind for i, (path, kind) in enumerate(files.items()) if i not in missing}
    return files | draw(st.one_of(st.just({}), RANDOM))


@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
    max_examples=150,
)
@example({"a/x.tif": (1, "u1"), "b/y.tif": (1, "u1"), "a/y.tif": (3, "u1"), "c/z.tif": (1, "u1")})
@example(
    # Labels of one directory of images lie where those of another would be looked for, too.
    grid("data/4_Ortho/t_{n}_RGBIR.tif", 4, n="5")
    | grid("data/t_{n}_label.tif", 3, n="2 3 5")
    | grid("other/4_Ortho/t_{n}_RGBIR.tif", 4, n="2 3 5")
    | grid("other/t_{n}_label.tif", 3, n="2 3 5")
    | grid("{n}.tif", 4, n="a aaa 1")
)
@example({"x.tif": (3, "u1"), "top/x.tif": (1, "u1"), "top/top/x.tif": (4, "u2")})
@example({"a/{name}.tif": (1, "u1"), "b/{name}.tif": (1, "u1"), "b/{band}.tif": (1, "u1")})
@given(st.one_of(RANDOM, mixtures()))
def test_whatever_grows_is_described_or_refused(tmp_path_factory, files):
    files = without_clashes(files)
    root = plant(Shape(files, 0), tmp_path_factory.mktemp("grown"))
    if not list(tiffs_of(root)):
        return
    try:
        held(root)
    except SourceError as error:
        assert "no layout can be proposed" in str(error)
        # Where there are only few files, the only reason is that two cannot be told apart.
        assert min(Counter(map(stem, tiffs_of(root))).values()) > 1


FILE = """
patch = "{patch}"
path = '{path}'
key = "{key}"
[[files]]
path = "{{name}}.tif"
bands = ["B1"]
"""
MASK = """
[[files]]
path = "{path}.tif"
bands = ["mask"]
with = "mask"
{more}
"""


@pytest.mark.parametrize(
    ("files", "text", "fault"),
    [
        ("a/1 b/1", FILE.format(patch="file", path="1", key="{name}"), "would have the same key"),
        ("a/1 b/2", FILE.format(patch="file", path="3", key="{name}"), "it would find no patches"),
        ("1", FILE.format(patch="file", path="1", key="{name}" * 600), "longer than 511 bytes"),
        ("a/a b/b c/d", FILE.format(patch="directory", path=".", key="{name}"), "no file c/c.tif"),
        # What lies in a patch is not searched.
        ("a/a a/b/c", FILE.format(patch="directory", path="a|b|x", key="{name}"), ""),
        ("1 1_m 2", FILE.format(patch="file", path=r"\d", key="{name}")
         + MASK.format(path="{name}_m", more=""), "no file 2_m.tif"),
        ("1 1_m 2", FILE.format(patch="file", path=r"\d", key="{name}")
         + MASK.format(path="{name}_m", more="optional = true"), ""),
        ("1 2", FILE.format(patch="file", path=r"\d", key="{name}")
         + MASK.format(path="{name}", more=""), "read twice"),
        ("a/1_m", 'patch = "file"\npath = ".*"\nkey = "{name}"\n'
         + MASK.format(path="{name}", more=""), "no files that are always read"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_layout(tmp_path, files, text, fault):
    root = plant(Shape({f"{path}.tif": (1, "u1") for path in files.split()}, 0), tmp_path)
    validity = validate(parse("proposed", text.encode()), look(str(root)))
    assert fault in validity.fault
    assert (fault == "") == (validity.fault == "")


def test_other_bands_than_a_layout_says_are_a_fault(tmp_path):
    root = plant(Shape(grid("a{n}.tif", 1, n="1 2") | grid("a3.tif", 3), 0), tmp_path)
    text = FILE.format(patch="file", path="a.", key="{name}")
    validity = validate(parse("proposed", text.encode()), look(str(root)))
    assert validity.fault == "a3.tif has 3 bands, not 1"


def test_many_patches_at_several_depths(tmp_path):
    """Their names repeat, and are too many to be listed."""
    files = grid("{n}.tif", 3, n=range(60)) | grid("a/b/{n}.tif", 3, n=range(60))
    layout, _, plan, left = held(plant(Shape(files, 0), tmp_path))
    assert (len(plan.patches), left) == (120, [])
    assert layout.key == "{folders}{name}"
    assert [patch.key for patch in plan.patches][::60] == [b"0", b"a/b/0"]


def test_directories_of_numbers_stand_for_others(tmp_path):
    """The few patches of a sample are of one place, those of the dataset are not."""
    files = grid("s2/0000200/T{n}/{b}.tif", n="43RCP 44RCP", b="B1 B2 B3")
    maps = {f"maps/0000200/T{n}/classes.tif": (1, "u1") for n in ("43RCP", "44RCP")}
    layout, _, plan, _ = held(plant(Shape(files | maps, 0), tmp_path))
    assert len(plan.patches) == 2
    assert layout.pattern.pattern == r"s2/\d{7}/T\d{2}RCP"


def test_a_part_of_a_large_tree(tmp_path, monkeypatch):
    """Of what was not looked at nothing is known, but what was looked at is described right."""
    root = plant(Shape(grid("{c}/{n}.tif", 3, c="a b c d e f", n=range(3)), 0), tmp_path)
    monkeypatch.setattr(module, "_BUDGET", 15)
    monkeypatch.setattr(tree_sample, "_SHARE", 3)
    text, remarks = guess(str(root))
    assert parse("proposed", text.encode()).key == "{folder1}_{name}"
    assert remarks == ["not all was looked at, but 9 files"]


def test_files_are_looked_into_one_of_a_kind_where_there_are_many(tmp_path, monkeypatch):
    files = grid("{c}/{n}.tif", 3, c="a b c d", n=range(9)) | grid("m/mask_{n}.tif", n=range(9))
    root = plant(Shape(files, 0), tmp_path)
    monkeypatch.setattr(propose, "_FILES", 8)
    _, _, plan, left = held(root)
    assert (len(plan.patches), len(left)) == (36, 9)


def test_files_that_no_name_tells_apart_are_refused_if_they_are_many(run, tmp_path):
    """Nobody wants a layout that lists hundreds of names."""
    files = grid("a_{n:03d}.tif", 3, n=range(130)) | grid("a_007.tif", 4)
    root = plant(Shape(files, 0), tmp_path)
    outcome = run("layouts", "--guess", root)
    refused(outcome)
    assert (
        "a_007.tif differs in bands or sample type from files that are named alike" in outcome.err
    )


def test_damaged_files_are_left_to_encoding(tmp_path):
    """They belong to the dataset: the proposal reads them, and says that they are damaged."""
    root = plant(Shape(grid("a_{n}.tif", 3, n=range(4)), 0), tmp_path)
    (root / "a_2.tif").write_bytes(b"not a TIFF file")
    text, remarks = guess(str(root))
    assert len(discover([Source(parse("p", text.encode()), str(root))]).patches) == 4
    assert remarks == ["1 file cannot be read: a_2.tif"]


def test_types_that_cannot_be_encoded_are_left_out(tmp_path):
    files = grid("{n}/img.tif", 3, n="p1 p2 p3") | grid("{n}/phase.tif", n="p1 p2 p3")
    root = plant(Shape(files, 0), tmp_path)
    for path in root.rglob("phase.tif"):
        tifffile.imwrite(path, np.zeros((6, 7), np.complex64))
    layout, _, _, left = held(root)
    assert layout.bands == ("B1", "B2", "B3")
    assert len(left) == 3


def test_patches_that_cannot_be_encoded_are_left_out(tmp_path):
    root = plant(Shape(grid("a_{n}.tif", n="1 2"), 0), tmp_path)
    for name in "345":
        tifffile.imwrite(root / f"a_{name}.tif", np.zeros((6, 7), np.complex64))
    _, _, plan, left = held(root)
    assert [patch.key for patch in plan.patches] == [b"a_1", b"a_2"]
    assert len(left) == 3


def test_a_file_that_few_patches_lack_is_optional_and_said(tmp_path):
    root = plant(SHAPES["a-band-that-one-lacks"], tmp_path)
    text, remarks = guess(str(root))
    assert "(nir is in 19 of 20 patches)" in text
    (remark,) = remarks
    assert remark.startswith("nir is missing in 1 of 20 patches, for example p07: remove its ")


def test_bands_that_different_patches_lack_are_not_tied_together(tmp_path):
    """As many lack the one as the other, but not the same ones."""
    files = grid("p{n}/{b}.tif", n=range(9), b="red green nir")
    root = plant(Shape({x: y for x, y in files.items() if x not in ("p1/red.tif", "p2/nir.tif")},
                       0), tmp_path)  # fmt: skip
    layout, _, plan, left = held(root)
    assert (len(plan.patches), left) == (9, [])
    assert len(layout.optional) == 2


def test_no_more_is_optional_than_a_layout_can_say(tmp_path):
    files = grid("p{n}/p{n}_rgb.tif", 3, n=range(20))
    for index in range(8):
        files |= grid("p{n}/p{n}_{b}.tif", n=range(index, index + 8), b="abcdefgh"[index])
    layout, _, _, left = held(plant(Shape(files, 0), tmp_path))
    assert len(layout.optional) == 6
    assert len(left) == 16


def test_links_to_directories_are_no_files(tmp_path):
    root = plant(Shape(grid("a_{n}.tif", 3, n=range(4)), 0), tmp_path / "tree")
    (tmp_path / "elsewhere").mkdir()
    (root / "a_9.tif").symlink_to(tmp_path / "elsewhere")
    text, remarks = guess(str(root))
    assert remarks == []
    assert len(discover([Source(parse("p", text.encode()), str(root))]).patches) == 4


def test_names_that_are_no_text_are_not_matched(tmp_path):
    """The search would stop at a name that cannot be a key, were it matched."""
    root = plant(Shape(grid("{n}.tif", 3, n="alpha b-2 c_3_x d.4 e+5"), 0), tmp_path)
    path = os.path.join(os.fsencode(root), b"x\xff.tif")
    try:
        with open(path, "wb") as file:
            file.write((root / "alpha.tif").read_bytes())
    except OSError:
        pytest.skip("the file system takes names only that are UTF-8")
    text, _ = guess(str(root))
    assert len(discover([Source(parse("p", text.encode()), str(root))]).patches) == 5


@pytest.mark.parametrize("name", ["a\nb", "a\x7fb", "\x1b[31m", 'a"b', "é"])
def test_a_root_of_any_name_gives_a_valid_title(tmp_path, name):
    root = plant(Shape(grid("a_{n}.tif", 3, n=range(4)), 0), tmp_path / name)
    layout, text, _, _ = held(root)
    assert layout.title == name if name.isprintable() else "\\" in layout.title
    assert text.isascii() or "é" in text


def test_keys_that_would_be_too_long_are_not_proposed(tmp_path):
    """Three directories of 200 bytes tell patches apart, and no key has room for that."""
    a, b = "a" * 200, "b" * 200
    files = {f"{x}/{y}/{z}/{n}.tif": (3, "u1") for x in (a, b) for y in (a, b) for z in (a, b)
             for n in "123"}  # fmt: skip
    _, _, plan, left = held(plant(Shape(files, 0), tmp_path))
    assert (len(plan.patches), len(left)) == (3, 21)


def test_labels_that_say_what_they_are_in_their_directory_only(tmp_path):
    """One band here and there, of the same type: the names of the directories tell."""
    files = grid("images/{n}.tif", 1, "u1", n="a b c") | grid("masks/{n}.tif", 1, "u1", n="a b c")
    layout, _, plan, _ = held(plant(Shape(files, 0), tmp_path))
    assert (layout.bands, layout.requests) == (("B1",), ("masks",))
    assert [patch.key for patch in plan.patches] == [b"a", b"b", b"c"]
