"""Trees of files that look like the real datasets: names and storage real, pixels made up."""

import numpy as np
import tifffile

from rs_tensor_encoder.inspection.identify import tail

TILE = "ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z"
SCENE = "20200604T054639_20200604T054831_T43RCP"
S1_SCENE = "S1A_IW_GRDH_1SDV_20200607T010800_20200607T010825_032904_03CFBA_D457"
S1_RTC = "S1B_IW_GRDH_1SDV_20210827T012624_20210827T012653_028425_036437_rtc"
S1_TILE = "S1A_IW_GRDH_1SDV_20170613T165043"
S2_TILE = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
S2_PRODUCT = "S2A_MSIL{}_20220706T085611_N0400_R007_T33NZA_20220706T153419"
CHIP = "subsetted_512x512_HLS.S30.T11TPF.2018289.v1.4"

# A patch of each dataset: its path in the archives, without extension, and its key.
PATCHES = {
    "bigearthnet-reference-maps": (
        f"Reference_Maps/{S2_TILE}/{S2_TILE}_26_57/{S2_TILE}_26_57_reference_map",
        f"{S2_TILE}_26_57_reference_map",
    ),
    "bigearthnet-s1": (
        f"BigEarthNet-S1/{S1_TILE}/{S1_TILE}_33UUP_70_48",
        f"{S1_TILE}_33UUP_70_48",
    ),
    "bigearthnet-s2": (f"BigEarthNet-S2/{S2_TILE}/{S2_TILE}_75_43", f"{S2_TILE}_75_43"),
    "eurosat-ms": ("EuroSAT_MS/SeaLake/SeaLake_3000", "SeaLake_3000"),
    "fields-of-the-world": (
        "ftw/south_africa/s2_images/window_a/g117_00021_6",
        "south_africa_window_a_g117_00021_6",
    ),
    "fmow-sentinel": (
        "fmow-sentinel/test_gt/airport_hangar/airport_hangar_17/airport_hangar_17_100",
        "test_gt_airport_hangar_17_100",
    ),
    "hls-burn-scars": (f"training/{CHIP}_merged", CHIP),
    "hydro": ("hydro/patch_100000", "patch_100000"),
    "hyspecnet": (
        f"hyspecnet-11k/patches/{TILE}/{TILE}-Y01460273_X03110438",
        f"{TILE}-Y01460273_X03110438",
    ),
    "major-tom-dem": ("DEM/0U/0U_199R/DEM", "0U_199R"),
    "major-tom-s1-rtc": (f"S1RTC/897U/897U_171R/{S1_RTC}", f"897U_171R_{S1_RTC}"),
    "major-tom-s2-l1c": (
        f"S2L1C/0U/0U_199R/{S2_PRODUCT.format('1C')}",
        f"0U_199R_{S2_PRODUCT.format('1C')}",
    ),
    "major-tom-s2-l2a": (
        f"S2L2A/0U/0U_199R/{S2_PRODUCT.format('2A')}",
        f"0U_199R_{S2_PRODUCT.format('2A')}",
    ),
    "seco": (f"seasonal_contrast_100k/000017/{SCENE}", f"000017_{SCENE}"),
    "sen12ms-lc": ("ROIs1970_fall/lc_13/ROIs1970_fall_lc_13_p705", "ROIs1970_fall_lc_13_p705"),
    "sen12ms-s1": ("ROIs1970_fall/s1_13/ROIs1970_fall_s1_13_p705", "ROIs1970_fall_s1_13_p705"),
    "sen12ms-s2": ("ROIs1970_fall/s2_13/ROIs1970_fall_s2_13_p705", "ROIs1970_fall_s2_13_p705"),
    "sen1floods11-hand": (
        "v1.1/data/flood_events/HandLabeled/S1Hand/Sri-Lanka_163406_S1Hand",
        "Sri-Lanka_163406",
    ),
    "sen1floods11-weak": (
        "v1.1/data/flood_events/WeaklyLabeled/S1Weak/Bolivia_7437667_S1Weak",
        "Bolivia_7437667",
    ),
    "spectral-earth": ("spectral_earth/enmap/0000649/00020", "0000649_00020.tif"),
    "ssl4eo-l-etm-sr": (
        "ssl4eo_l_etm_sr/0000002/LE07_172034_20010526",
        "etm_sr_0000002_LE07_172034_20010526",
    ),
    "ssl4eo-l-etm-toa": (
        "ssl4eo_l_etm_toa/0000002/LE07_172034_20010526",
        "etm_toa_0000002_LE07_172034_20010526",
    ),
    "ssl4eo-l-oli-sr": (
        "ssl4eo_l_oli_sr/0000002/LC08_172034_20210306",
        "oli_sr_0000002_LC08_172034_20210306",
    ),
    "ssl4eo-l-oli-tirs-toa": (
        "ssl4eo_l_oli_tirs_toa/0000002/LC08_172034_20210306",
        "oli_tirs_toa_0000002_LC08_172034_20210306",
    ),
    "ssl4eo-l-tm-toa": (
        "ssl4eo_l_tm_toa/0000002/LT05_172034_20010526",
        "tm_toa_0000002_LT05_172034_20010526",
    ),
    "ssl4eo-s12-s1": (f"SSL4EO-S12/s1/0000200/{S1_SCENE}", f"s1_0000200_{S1_SCENE}"),
    "ssl4eo-s12-s2-l1c": (f"SSL4EO-S12/s2c/0000200/{SCENE}", f"s2c_0000200_{SCENE}"),
    "ssl4eo-s12-s2-l2a": (f"SSL4EO-S12/s2a/0000200/{SCENE}", f"s2a_0000200_{SCENE}"),
    "treesatai": ("aerial/60m/Abies_alba_1_834_WEFL_NLF", "Abies_alba_1_834_WEFL_NLF"),
    "uc-merced": ("UCMerced_LandUse/Images/airplane/airplane00", "airplane00"),
}

# A layout of a user's own: files in sibling directories, read on request, in some patches only.
SIBLINGS = """
patch = "file"
path = 'images/[a-z]'
key = "{name}"
[[files]]
path = "{name}.tif"
bands = ["A"]
[[files]]
path = "../masks/{name}.tif"
bands = ["mask"]
with = "mask"
optional = true
[[files]]
path = "../labels/{name}.tif"
bands = ["label"]
with = "label"
optional = true
"""

_TILES_LZW = {"tile": (1024, 1024), "compression": "lzw"}
_PLANES_DEFLATE = {"planarconfig": "separate", "compression": "zlib", "rowsperstrip": 3}

# How the real files are stored, as far as that is known; else in strips, interleaved.
STORAGE = {
    "bigearthnet-reference-maps": {"compression": "zlib", "predictor": 2, "rowsperstrip": 34},
    "bigearthnet-s1": {"rowsperstrip": 17},
    "bigearthnet-s2": {"rowsperstrip": 34},
    "eurosat-ms": {"rowsperstrip": 4},
    "fields-of-the-world": {"tile": (256, 256)},
    "hydro": {"tile": (512, 512), "compression": "lzw", "predictor": 2},
    "hyspecnet": _PLANES_DEFLATE,
    "major-tom-dem": {"compression": "lzw"},
    "major-tom-s1-rtc": _TILES_LZW,
    "major-tom-s2-l1c": _TILES_LZW,
    "major-tom-s2-l2a": _TILES_LZW,
    "spectral-earth": _PLANES_DEFLATE,
    "ssl4eo-s12-s1": {"rowsperstrip": 7},
    "ssl4eo-s12-s2-l1c": {"rowsperstrip": 15},
    "ssl4eo-s12-s2-l2a": {"rowsperstrip": 15},
}


def grow(layout, root, path=None, *, without=()):
    """Write a patch of a layout; return the paths of its files, in the order of ``every``.

    Parameters
    ----------
    layout : Layout
        What the patch looks like.
    root : Path
        Where the tree begins.
    path : str, optional
        The patch's path, without extension; by default the one in `PATCHES`.
    without : sequence of int
        Numbers of ``[[files]]`` that the patch lacks.
    """
    path = path or PATCHES[layout.name][0]
    groups = layout.match(tail(layout, path.split("/")))
    assert groups is not None, (layout.name, path)
    directory = root / path if not layout.of_files else (root / path).parent
    written = []
    for index, file in enumerate(layout.every):
        if file.entry in without:
            continue
        target = directory / (file.path.format_map(groups) + ".tif")
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, file, seed=index, **STORAGE.get(layout.name, {}))
        written.append(target)
    return written


def write(path, file, seed=0, **storage):
    """Write a TIFF file with the bands of a layout's file."""
    random = np.random.default_rng(seed)
    rows, columns = file.shape or (45, 52)
    dtype = np.dtype(file.dtype)
    shape = (len(file.bands), rows, columns)
    if dtype.kind == "f":
        pixels = random.normal(0, 10, shape).astype(dtype)
    else:
        pixels = random.integers(0, min(np.iinfo(dtype).max, 12_000), shape, dtype)
    options = {"planarconfig": "contig", **storage}
    if options["planarconfig"] == "contig":
        pixels = pixels.transpose(1, 2, 0)
    if len(file.bands) == 1:
        pixels = pixels.reshape(rows, columns)
        del options["planarconfig"]
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None, **options)
