"""A small sample dataset with the true structure of BigEarthNet and HySpecNet.

Directories, names, sample types, strips, compression and GeoTIFF tags are those
of the real files; the content is made up: smooth, with fields, a river and
speckle, and the same for the same seed.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

Array = npt.NDArray[Any]

# Side in pixels, and rows per strip, of the bands of BigEarthNet-S2.
_SENTINEL_2 = {
    (120, 34): ("B02", "B03", "B04", "B08"),
    (60, 60): ("B05", "B06", "B07", "B8A", "B11", "B12"),
    (20, 20): ("B01", "B09"),
}

# Reflectance (times 10,000) of water, soil and vegetation in each of them.
_REFLECTANCE = {
    "B01": (400, 700, 250),
    "B02": (450, 900, 300),
    "B03": (420, 1200, 650),
    "B04": (300, 1600, 350),
    "B05": (280, 1900, 950),
    "B06": (240, 2100, 2300),
    "B07": (220, 2250, 2900),
    "B08": (200, 2400, 3100),
    "B8A": (180, 2500, 3300),
    "B09": (150, 2500, 3350),
    "B11": (120, 3000, 1700),
    "B12": (80, 2400, 800),
}

# Bands of HySpecNet that hold no data: 127 to 141 and 161 to 167, 1-based.
_DEAD = [*range(126, 141), *range(160, 167)]
_NODATA = -32768


@dataclass(frozen=True)
class Sample:
    """Where the sample lies: the three roots, and one patch as (S1, S2) names."""

    sentinel_1: str
    sentinel_2: str
    hyspecnet: str
    pair: tuple[str, str]


def write_sample(root: str, *, patches: int = 32, hyspecnet: int = 4, seed: int = 1) -> Sample:
    """Write a sample dataset.

    Parameters
    ----------
    root : str
        Directory to write to; made if it is not there.
    patches : int
        Sentinel-1 and Sentinel-2 patches, each.
    hyspecnet : int
        HySpecNet patches.
    seed : int
        Other content for another seed.
    """
    random = np.random.default_rng(seed)
    sample = Sample(
        os.path.join(root, "BigEarthNet-S1"),
        os.path.join(root, "BigEarthNet-S2"),
        os.path.join(root, "hyspecnet-11k"),
        (_sentinel_1_name(0), _sentinel_2_name(0)),
    )
    for index in range(patches):
        scene = _Scene(random)
        _write_sentinel_1(sample.sentinel_1, _sentinel_1_name(index), scene)
        _write_sentinel_2(sample.sentinel_2, _sentinel_2_name(index), scene)
    for index in range(hyspecnet):
        _write_hyspecnet(os.path.join(sample.hyspecnet, "patches"), index, _Scene(random))
    return sample


def _sentinel_1_name(index: int) -> str:
    return f"S1A_IW_GRDH_1SDV_20170613T165043_33UUP_{70 + index // 16}_{48 + index % 16}"


def _sentinel_2_name(index: int) -> str:
    return f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_{75 + index // 16}_{43 + index % 16}"


class _Scene:
    """A made-up piece of land: how much of each pixel is water, and how green it is."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        land = _smooth(random, 6) + 0.3 * _smooth(random, 24)
        self.water = 1 / (1 + np.exp(np.clip(40 * np.abs(land) - 2, -30, 30)))
        # Fields: one shade per cell of a slanted grid.
        y, x = np.mgrid[0:120, 0:120] / 120
        angle = random.uniform(0, np.pi)
        rows = np.floor(5 * (x * np.cos(angle) + y * np.sin(angle))).astype(int)
        columns = np.floor(7 * (y * np.cos(angle) - x * np.sin(angle))).astype(int)
        shades = random.uniform(0, 1, (32, 32))
        self.green = np.clip(shades[rows % 32, columns % 32] + 0.2 * _smooth(random, 12), 0, 1)

    def mix(self, water: float, soil: float, green: float) -> Array:
        """Mix three values by what the pixels are covered with; 120 x 120."""
        ground = soil + (green - soil) * self.green
        mixed: Array = ground + (water - ground) * self.water
        return mixed


def _smooth(random: np.random.Generator, cells: int) -> Array:
    """Noise of about unit size and ``cells`` waves across, 120 x 120."""
    coarse = random.normal(size=(cells + 1, cells + 1))
    at = np.linspace(0, cells, 120)
    along = np.array([np.interp(at, np.arange(cells + 1), row) for row in coarse])
    return np.array([np.interp(at, np.arange(cells + 1), column) for column in along.T]).T


def _tags(metres: float, zone: int, nodata: str | None) -> list[Any]:
    """GeoTIFF's tags for a pixel size and an UTM zone, and GDAL's nodata tag."""
    citation = f"WGS 84 / UTM zone {zone}N|WGS 84|"
    length = len(citation) - 7
    keys = [1, 1, 0, 7, 1024, 0, 1, 1, 1025, 0, 1, 1, 1026, 34737, length, 0]
    keys += [2049, 34737, 7, length, 2054, 0, 1, 9102, 3072, 0, 1, 32600 + zone, 3076, 0, 1, 9001]
    tags = [
        (33550, 12, 3, (metres, metres, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 390000.0, 5348400.0, 0.0), True),
        (34735, 3, len(keys), tuple(keys), True),
        (34737, 2, len(citation) + 1, citation, True),
    ]
    if nodata is not None:
        tags.append((42113, 2, len(nodata) + 1, nodata, True))
    return tags


def _write(path: str, pixels: Array, rows: int, tags: list[Any], **options: Any) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tifffile.imwrite(
        path,
        pixels,
        byteorder="<",
        photometric="minisblack",
        rowsperstrip=rows,
        metadata=None,
        software=False,
        extratags=tags,
        **options,
    )


def _write_sentinel_1(root: str, name: str, scene: _Scene) -> None:
    tile = name.rsplit("_", 3)[0]
    for band, values in {"VV": (-19, -9, -11), "VH": (-26, -17, -15)}.items():
        speckle = scene.random.gamma(5, 1 / 5, (120, 120))
        pixels = (scene.mix(*values) + 10 * np.log10(speckle)).astype(np.float32)
        path = os.path.join(root, tile, name, f"{name}_{band}.tif")
        _write(path, pixels, 17, _tags(10, 33, None))


def _write_sentinel_2(root: str, name: str, scene: _Scene) -> None:
    tile = name.rsplit("_", 2)[0]
    for (side, rows), bands in _SENTINEL_2.items():
        step = 120 // side
        for band in bands:
            fine = scene.mix(*_REFLECTANCE[band])
            coarse = fine.reshape(side, step, side, step).mean(axis=(1, 3))
            noisy = coarse + scene.random.normal(0, 15, coarse.shape)
            pixels = np.clip(noisy, 1, 10000).astype(np.uint16)
            path = os.path.join(root, tile, name, f"{name}_{band}.tif")
            _write(path, pixels, rows, _tags(10.0 * step, 33, "0"))


def _write_hyspecnet(root: str, index: int, scene: _Scene) -> None:
    tile = "ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z"
    start = 146 + 128 * index
    name = f"{tile}-Y{start:04d}{start + 127:04d}_X03110438"
    wavelength = np.linspace(0.42, 2.45, 224)
    soil = 3000 * (1 - np.exp(-1.2 * wavelength))
    green = 3600 / (1 + np.exp(-(wavelength - 0.72) * 60)) * np.exp(-0.6 * (wavelength - 0.72))
    water = 500 * np.exp(-3 * (wavelength - 0.42))
    pixels = np.empty((224, 128, 128), np.int16)
    for band in range(224):
        mixed = scene.mix(water[band], soil[band], green[band] + 150)
        noisy = np.pad(mixed, 4, mode="edge") + scene.random.normal(0, 20, (128, 128))
        pixels[band] = np.clip(noisy, 0, 10000)
    pixels[_DEAD] = _NODATA
    _write(
        os.path.join(root, tile, name, f"{name}-SPECTRAL_IMAGE.TIF"),
        pixels,
        3,
        _tags(30, 18, str(_NODATA)),
        planarconfig="separate",
        compression="zlib",
    )
    # What lies beside it and is not read.
    mask = (scene.water[:120, :120] > 0.5).astype(np.uint8)
    _write(
        os.path.join(root, tile, name, f"{name}-QL_QUALITY_CLOUD.TIF"),
        mask,
        120,
        _tags(30, 18, None),
        compression="lzw",
    )
