"""Datasets to measure with: many copies of one patch, in the structure of the real files.

The patch is the real sample where `RS_TENSOR_SAMPLES` has one; else one is made that has the same
types, strips or tiles, compression and tags.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from rs_tensor_encoder.demo.sample import write_sample
from rs_tensor_encoder.layouts.parser import Layout, builtin, parse
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source

_BANDS = "B01 B02 B03 B04 B05 B06 B07 B08 B09 B8A B11 B12"


def _layout(name, text):
    return parse(name, (f'title = "{name}"\nlink = ""\noption = "--{name}"\n' + text).encode())


# What the package has no layout for, yet.
_MORE = {
    "interleaved": _layout(
        "interleaved",
        """
patch = "file"
path = '[A-Za-z]+_\\d+'
key = "{name}"
[[files]]
path = "{name}.tif"
bands = ["B{1..13}"]
""",
    ),
    "tiled-lzw": _layout(
        "tiled-lzw",
        """
patch = "file"
path = 'patch_\\d+'
key = "{name}"
[[files]]
path = "{name}.tif"
bands = ["B{1..12}"]
""",
    ),
    "large-tiled-lzw": _layout(
        "large-tiled-lzw",
        f"""
patch = "directory"
path = 'S2A_MSIL2A_.*_\\d+T\\d+'
key = "{{name}}"
[[files]]
path = "{{band}}.tif"
bands = {_BANDS.split()!r}
""",
    ),
}


@dataclass
class Dataset:
    """Where copies of a patch lie, and how they are laid out."""

    name: str
    layout: Layout
    root: str
    patches: int

    def plan(self):
        """Find the patches, as the encoder does."""
        return discover([Source(self.layout, self.root)])

    def files(self):
        """All patches as (key, paths of files), sorted by key."""
        plan = self.plan()
        endings = {}
        found = []
        for patch in plan.patches:
            _, directory, names = plan.files(patch)
            directory = os.fsdecode(directory)
            paths = []
            for index, stem in enumerate(os.fsdecode(names).split("\0")[:-1]):
                path = os.path.join(directory, stem)
                if index not in endings:
                    known = (".tif", ".TIF")
                    endings[index] = next(e for e in known if os.path.exists(path + e))
                paths.append(path + endings[index])
            found.append((patch.key.decode(), paths))
        return found

    def bytes(self):
        """Bytes of all files."""
        return self.patches * sum(os.path.getsize(path) for path in self.files()[0][1])


def have_memory(directory, size):
    """Have so many bytes of memory at hand where a database is to be: write a file, and remove it.

    What a virtual machine has not used for a while its host may have taken back, and giving it
    once more takes longer than what is to be measured.
    """
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))


COUNTS = {
    "bigearthnet-s2": 4000,
    "bigearthnet-s1": 10000,
    "hyspecnet": 60,
    "interleaved": 10000,
    "tiled-lzw": 200,
    "large-tiled-lzw": 40,
}


# Patches for the ways that are slow; their seconds are scaled to those of all.
FEW = COUNTS | {
    "bigearthnet-s2": 2000,
    "bigearthnet-s1": 2000,
    "interleaved": 2000,
    "tiled-lzw": 100,
}


def layout_of(name):
    """Find a layout by the name of its dataset."""
    return ({layout.name: layout for layout in builtin()} | _MORE)[name]


def make(directory, name, patches):
    """Make a dataset of so many copies of a patch in a directory."""
    layout = layout_of(name)
    samples = os.environ.get("RS_TENSOR_SAMPLES")
    origin = _sample_root(samples, name) if samples else _made_up(directory, name)
    plan = discover([Source(layout, origin)])
    patch = plan.patches[0]
    original = os.fsdecode(patch.name)
    place = Path(os.fsdecode(plan.files(patch).directory))
    wanted = set(os.fsdecode(plan.files(patch).names).split("\0"))
    content = {
        file.name: file.read_bytes()
        for file in place.iterdir()
        if file.suffix in (".tif", ".TIF") and file.stem in wanted
    }
    root = os.path.join(directory, name)
    for index in range(patches):
        tile, key = _numbered(name, index)
        target = Path(root, tile) if layout.of_files else Path(root, tile, key)
        target.mkdir(parents=True, exist_ok=True)
        for file, data in content.items():
            (target / file.replace(original, key)).write_bytes(data)
    return Dataset(name, layout, root, patches)


def _sample_root(samples, name):
    parts = {
        "interleaved": "EuroSAT_MS",
        "tiled-lzw": "Hydro",
        "large-tiled-lzw": "Major-TOM-Core",
        "hyspecnet": "HySpecNet-11k",
    }
    return os.path.join(samples, parts.get(name, "BigEarthNet"))


def _made_up(directory, name):
    root = os.path.join(directory, "made-up", name)
    made = write_sample(root, patches=1, hyspecnet=1)
    if name == "bigearthnet-s2":
        return made.sentinel_2
    if name == "bigearthnet-s1":
        return made.sentinel_1
    if name == "hyspecnet":
        return made.hyspecnet
    random = np.random.default_rng(1)

    def pixels(*shape):
        steps = random.integers(-40, 41, shape)
        return (1000 + np.cumsum(np.cumsum(steps, axis=0) // 8, axis=1) // 8).astype("u2")

    own = Path(root, "own")
    own.mkdir()
    if name == "interleaved":
        tifffile.imwrite(own / "Forest_1.tif", pixels(64, 64, 13), rowsperstrip=4, metadata=None,
                         photometric="minisblack", planarconfig="contig")  # fmt: skip
    elif name == "tiled-lzw":
        tifffile.imwrite(own / "patch_0.tif", pixels(256, 256, 12), tile=(512, 512), metadata=None,
                         photometric="minisblack", planarconfig="contig",
                         compression="lzw", predictor=2)  # fmt: skip
    else:
        sides = dict.fromkeys(_BANDS.split(), 534) | dict.fromkeys(
            ("B02", "B03", "B04", "B08"), 1068
        )
        place = own / "S2A_MSIL2A_20220706T085611_N0400_R007_T33NZA_20220706T153419"
        place.mkdir()
        for band, side in (sides | {"B01": 178, "B09": 178}).items():
            tifffile.imwrite(place / f"{band}.tif", pixels(side, side), tile=(1024, 1024),
                             metadata=None, compression="lzw")  # fmt: skip
    return str(own)


def _numbered(name, index):
    """Names of the tile and of the patch with a number."""
    tile, within = divmod(index, 900)
    row, column = divmod(within, 30)
    if name == "bigearthnet-s1":
        scene = f"S1A_IW_GRDH_1SDV_20170613T1650{tile:02d}"
        return scene, f"{scene}_33UUP_{row}_{column}"
    if name == "bigearthnet-s2":
        scene = f"S2A_MSIL2A_20170613T1010{tile:02d}_N9999_R022_T33UUP"
        return scene, f"{scene}_{row:02d}_{column:02d}"
    if name == "hyspecnet":
        scene = "ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z"
        return scene, f"{scene}-Y{index:08d}_X03110438"
    if name == "large-tiled-lzw":
        return "0U", f"S2A_MSIL2A_20220706T085611_N0400_R007_T33NZA_20220706T{index:06d}"
    return "all", f"{'Forest' if name == 'interleaved' else 'patch'}_{index}"
