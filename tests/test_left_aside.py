"""Nothing is dropped in silence: an entry is a patch, a directory to look into, or left aside."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harm import without_privileges
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import SourceError
from rs_tensor_encoder.layouts.parser import parse
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.left_aside import LeftAside, Reason
from rs_tensor_encoder.sources.plan import Source
from tiff_factory import ramp, strips
from trees import SIBLINGS, write

FILES = b"""
patch = "file"
path = 'p\\d+'
key = "{name}"
[[files]]
path = "{name}.tif"
bands = ["A"]
"""
DIRECTORIES = b"""
patch = "directory"
path = 'p\\d+'
key = "{name}"
[[files]]
path = "a.tif"
bands = ["A"]
"""
GOOD = strips(ramp()).data()


class Tree:
    """A tree that knows what a search of it must find.

    ``good`` and ``bad`` are the keys of patches that can and cannot be encoded, ``aside`` counts
    what is left aside, ``visited`` the directories below the root that are looked into.
    """

    def __init__(self, root, of_files):
        self.root = root
        self.of_files = of_files
        self.good, self.bad = set(), set()
        self.aside = Counter()
        self.visited = 0
        self.number = 0
        self.store = root / ".store"
        self.store.mkdir()
        self.aside[Reason.HIDDEN] += 1
        (self.store / "x.tif").write_bytes(GOOD)
        (self.store / "d").mkdir()

    def name(self):
        self.number += 1
        return f"p{self.number}"

    def patch(self, place, content=GOOD):
        name = self.name()
        path = place / f"{name}.tif" if self.of_files else place / name / "a.tif"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        (self.good if content is GOOD else self.bad).add(name)

    def bad_patch(self, place):
        self.patch(place, b"<html>429 Too Many Requests</html>")

    def other_case(self, place):
        name = self.name()
        (place / f"{name}.Tif").write_bytes(GOOD)
        if self.of_files:
            self.good.add(name)
        else:
            self.aside[Reason.UNMATCHED] += 1

    def mixed_case(self, place):
        (place / f"{self.name()}.tIfF").write_bytes(GOOD)
        self.aside[Reason.MIXED_CASE] += 1

    def unmatched(self, place):
        (place / f"other-{self.name()}.tif").write_bytes(GOOD)
        self.aside[Reason.UNMATCHED] += 1

    def no_tiff(self, place):
        (place / f"{self.name()}.tif.aux.xml").touch()
        self.aside[Reason.OTHER_FILE] += 1

    def hidden(self, place):
        (place / f"._{self.name()}.tif").write_bytes(GOOD)
        self.aside[Reason.HIDDEN] += 1

    def hidden_directory(self, place):
        inside = place / f".{self.name()}" / "p0"
        inside.mkdir(parents=True)
        self.aside[Reason.HIDDEN] += 1

    def system_directory(self, place):
        inside = place / "__MACOSX"
        if not inside.exists():
            inside.mkdir()
            (inside / f"{self.name()}.tif").write_bytes(GOOD)
            self.aside[Reason.SYSTEM] += 1

    def named_like_a_patch(self, place):
        """A directory called like a file, or a file called like a directory."""
        name = self.name()
        if self.of_files:
            (place / f"{name}.tif").mkdir()
            self.visited += 1
        else:
            (place / name).touch()
            self.aside[Reason.OTHER_FILE] += 1

    def directory(self, place):
        inside = place / f"dir-{self.name()}"
        inside.mkdir()
        self.visited += 1
        self.patch(inside)
        self.unmatched(inside)

    def link_to_directory(self, place):
        (place / self.name()).symlink_to(self.store / "d")
        self.aside[Reason.LINK_TO_DIRECTORY] += 1

    def link_to_file(self, place):
        name = self.name()
        (place / f"{name}.tif").symlink_to(self.store / "x.tif")
        if self.of_files:
            self.good.add(name)
        else:
            self.aside[Reason.UNMATCHED] += 1

    def link_outside(self, place):
        name = self.name()
        (place / f"{name}.tif").symlink_to("/etc/hostname")
        if self.of_files:
            self.bad.add(name)
        else:
            self.aside[Reason.UNMATCHED] += 1

    def broken(self, place, target, *, patch=True):
        name = self.name() if patch else f"other-{self.name()}"
        path = place / (f"{name}.tif" if self.of_files else name)
        path.symlink_to(path.name if target is None else target)
        if patch:
            self.bad.add(name)
        else:
            self.aside[Reason.BROKEN_LINK] += 1

    def dangling(self, place):
        self.broken(place, "nowhere")

    def loop(self, place):
        self.broken(place, None)

    def too_long(self, place):
        self.broken(place, "n" * 300)

    def through_a_file(self, place):
        self.broken(place, self.store / "x.tif" / "x")

    def other_dangling(self, place):
        self.broken(place, "nowhere", patch=False)

    def special(self, place, make, *, patch=True):
        name = self.name() if patch else f"other-{self.name()}"
        make(place / f"{name}.tif")
        if patch and self.of_files:
            self.bad.add(name)
        else:
            self.aside[Reason.SPECIAL] += 1

    def pipe(self, place):
        self.special(place, os.mkfifo)

    def other_pipe(self, place):
        self.special(place, os.mkfifo, patch=False)

    def socket(self, place):
        def make(path):
            with socket.socket(socket.AF_UNIX) as made, tempfile.TemporaryDirectory() as short:
                # The path of a socket may have 107 bytes only.
                made.bind(f"{short}/s")
                os.rename(f"{short}/s", path)

        self.special(place, make)

    def device(self, place):
        if os.geteuid() == 0:
            self.special(place, lambda path: os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3)))

    def link_to_a_device(self, place):
        name = self.name()
        (place / f"{name}.tif").symlink_to("/dev/null")
        if self.of_files:
            self.bad.add(name)
        else:
            self.aside[Reason.SPECIAL] += 1


KINDS = [
    name
    for name, value in vars(Tree).items()
    if callable(value) and name not in ("__init__", "name", "broken", "special")
]


@settings(deadline=None, max_examples=25)
@given(
    kinds=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2)), max_size=25),
    of_files=st.booleans(),
)
def test_every_entry_is_accounted_for(kinds, of_files):
    with tempfile.TemporaryDirectory() as directory:
        check(Path(directory), kinds, of_files)


@pytest.mark.parametrize("of_files", [True, False])
def test_an_entry_of_each_kind(tmp_path, of_files):
    check(tmp_path, [(kind, index % 3) for index, kind in enumerate(KINDS)], of_files)


def check(directory, kinds, of_files):
    root = directory / "root"
    root.mkdir()
    tree = Tree(root, of_files)
    tree.patch(root)
    places = [root, root / "sub", root / "sub" / "sub"]
    places[2].mkdir(parents=True)
    tree.visited += 2
    for kind, place in kinds:
        getattr(tree, kind)(places[place])
    plan = discover([Source(parse("own", FILES if of_files else DIRECTORIES), str(root))])
    # What the search met, counted by other means: hidden and system directories, patches and
    # links are not looked into.
    met = 0
    for place, directories, files in os.walk(root):
        met += len(directories) + len(files)
        directories[:] = [
            name
            for name in directories
            if name[0] != "."
            and name != "__MACOSX"
            and not (Path(place) / name).is_symlink()
            and (of_files or name[0] != "p")
        ]
    assert len(plan.patches) + tree.visited + plan.left_aside.count == met
    found = {reason: tally.count for reason, tally in plan.left_aside.tallies.items()}
    assert found == {reason: count for reason, count in tree.aside.items() if count}
    assert all(os.path.lexists(tally.example) for tally in plan.left_aside.tallies.values())
    report = encode(plan, str(directory / "out"), skip_failed=True)
    assert {key for key, _ in report.failures} == tree.bad
    assert all(error.reason for _, error in report.failures)
    assert (report.encoded, report.patches) == (len(tree.good), len(tree.good | tree.bad))
    assert report.left_aside is plan.left_aside


# ---- links that need other users --------------------------------------------


def test_links_to_places_without_permission(tmp_path):
    """For root there are none; the file is named all the same, and nothing else is lost."""
    (tmp_path / "own.toml").write_bytes(FILES)
    root = tmp_path / "root"
    store = root / ".store"
    store.mkdir(parents=True)
    for name in ("p1", "p2"):
        (store / name).write_bytes(GOOD)
        (root / f"{name}.tif").symlink_to(store / name)
    (root / "p3.tif").write_bytes(GOOD)
    words = [*without_privileges(), sys.executable, "-m", "rs_tensor_encoder", "--layout"]
    store.chmod(0)
    try:
        done = subprocess.run(
            [*words, tmp_path / "own.toml", root, tmp_path / "out", "-q", "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        store.chmod(0o755)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert (report["patches"], report["encoded"], report["failed"]) == (3, 1, 2)
    assert [failure["path"] for failure in report["failures"]] == [
        str(root / f"{name}.tif") for name in ("p1", "p2")
    ]
    assert "Permission denied (and 1 more like it)\n" in done.stderr


# ---- what is said -----------------------------------------------------------


def test_what_is_left_aside_is_said(run, tmp_path):
    (tmp_path / "own.toml").write_bytes(FILES)
    root = tmp_path / "root"
    root.mkdir()
    for name in ("p1.tif", ".DS_Store", ".x", "readme.txt", "q.tif"):
        (root / name).write_bytes(GOOD)
    (root / "link").symlink_to(tmp_path)
    (root / "r\x1b[31m").symlink_to("nowhere")
    words = ["--layout", tmp_path / "own.toml", root, tmp_path / "out"]
    aside = (
        f"1 symbolic link to a directory, which is not followed ({root}/link); "
        f"1 symbolic link that cannot be followed ({root}/r\\x1b[31m)\n"
    )
    usual = (
        f"2 hidden files or directories (for example {root}/.DS_Store); "
        f"1 file that is not named .tif ({root}/readme.txt); "
        f"1 TIFF file that does not match the layout ({root}/q.tif); "
    )
    assert run(*words, "--dry-run").err.endswith(f"Left aside: {usual}{aside}")
    outcome = run(*words)
    assert outcome.code == 0
    assert outcome.err.endswith(f"\nLeft aside: {usual}{aside}")
    assert run("check", *words[:-1], tmp_path / "out", "-q").err == f"Left aside: {aside}"
    assert f"Left aside: {usual}{aside}" in run("layouts", "--try", *words[1:3]).err
    (tmp_path / "more").mkdir()
    found = json.loads(run(*words[:-1], tmp_path / "two", "--json").out)["left_aside"]
    assert [(row["reason"], row["count"]) for row in found] == [
        ("hidden", 2), ("other-file", 1), ("unmatched", 1),
        ("link-to-directory", 1), ("broken-link", 1),
    ]  # fmt: skip


def test_files_of_patches_are_not_called_strangers(run, tmp_path):
    """Masks beside images are no patches themselves; what the layout does not name is told."""
    (tmp_path / "own.toml").write_text(SIBLINGS)
    for place in ("images", "masks", "labels"):
        (tmp_path / "root" / place).mkdir(parents=True)
        (tmp_path / "root" / place / "a.tif").write_bytes(GOOD)
    words = ["--layout", tmp_path / "own.toml", tmp_path / "root", tmp_path / "out"]
    outcome = run(*words, "--with", "mask")
    assert outcome.code == 0
    assert outcome.err.endswith(
        "Left aside: 2 TIFF files that are no patches themselves, as masks and other files of "
        f"patches are (for example {tmp_path}/root/labels/a.tif)\n"
    )


def test_nothing_found_says_what_may_have_been_meant(tmp_path):
    (tmp_path / "data").symlink_to("/")
    (tmp_path / "p1.tIF").touch()
    with pytest.raises(SourceError) as caught:
        discover([Source(parse("own", FILES), str(tmp_path))])
    text = str(caught.value)
    assert "with an extension that is not read, such as .tIF: rename it" in text
    assert "1 symbolic link to a directory, which is not followed" in text


def test_a_file_in_the_wrong_case_is_said_where_it_is_missing(run, tmp_path):
    (tmp_path / "own.toml").write_bytes(DIRECTORIES)
    (tmp_path / "root" / "p1").mkdir(parents=True)
    (tmp_path / "root" / "p1" / "a.tIF").write_bytes(GOOD)
    outcome = run("--layout", tmp_path / "own.toml", tmp_path / "root", tmp_path / "out", "-q")
    assert outcome.code == 1
    assert outcome.err == (
        f"Failed: {tmp_path}/root/p1/a.tif: there is no such file, but one whose extension is "
        ".tIF: rename it\n"
    )


def test_files_that_were_asked_for_and_are_nowhere(run, layouts, tmp_path):
    layout = layouts["fields-of-the-world"]
    path = tmp_path / "ftw/austria/s2_images/window_a/g_0.tif"
    path.parent.mkdir(parents=True)
    write(path, layout.files[0])
    words = [layout.option, tmp_path / "ftw", "--with", "instance"]
    text = f"no patch of {layout.title} in {tmp_path}/ftw has the files that --with instance asks"
    outcome = run(*words, tmp_path / "out", "--dry-run")
    assert (outcome.code, f"Note: of the patches that were looked at, {text}" in outcome.err) == (
        0,
        True,
    )
    outcome = run(*words, tmp_path / "out", "-q")
    assert outcome.code == 0
    assert outcome.err == f"Note: {text} for\n"
    # Where one patch has them, nothing is said.
    label = tmp_path / "ftw/austria/label_masks/instance/g_0.tif"
    label.parent.mkdir(parents=True)
    write(label, next(file for file in layout.every if file.on == "instance"))
    assert run(*words, tmp_path / "two", "-q").err == ""


def test_examples_do_not_depend_on_the_order():
    one, other = LeftAside(), LeftAside()
    for found, paths in ((one, "bca"), (other, "acb")):
        for path in paths:
            found.add(Reason.HIDDEN, path)
    assert one == other
    one.merge(other)
    assert one.tallies[Reason.HIDDEN].count == 6
    assert list(one.phrases()) == ["6 hidden files or directories (for example a)"]
