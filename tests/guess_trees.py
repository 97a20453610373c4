"""Shapes of trees as datasets have them, made small: paths of TIFF files and their bands."""

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import product

import numpy as np
import tifffile


@dataclass
class Shape:
    """A tree, and what a layout for it must say.

    ``files`` maps paths to (bands, sample type), or to None where they are no
    TIFF files; ``left`` is the number of TIFF files that no patch has. ``bands``
    are those always read, as a layout says them, ``requests`` what can be asked
    for besides, and ``key`` is the key of the first patch. A shape of 0 patches
    has no layout.
    """

    files: dict
    patches: int
    bands: str = "B1"
    requests: str = ""
    key: str = ""
    left: int = 0


def grid(pattern, bands=1, dtype="u2", **values):
    """Paths for all combinations of the values, each of which may be text: "a b c"."""
    lists = [x.split() if isinstance(x, str) else list(x) for x in values.values()]
    return {
        pattern.format(**dict(zip(values, row, strict=True))): (bands, dtype)
        for row in product(*lists)
    }


def litter(*paths):
    return dict.fromkeys(paths)


@cache
def _tiff(bands, dtype):
    file = BytesIO()
    pixels = (np.arange(bands * 42) % 97).reshape(bands, 6, 7).astype(dtype)
    tifffile.imwrite(
        file, pixels if bands > 1 else pixels[0], photometric="minisblack",
        planarconfig="separate" if bands > 1 else None, metadata=None,
    )  # fmt: skip
    return file.getvalue()


def plant(shape, root):
    """Write the files of a shape."""
    for path, kind in shape.files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind is None:
            target.write_text("not a picture")
            continue
        target.write_bytes(_tiff(*kind))
    return root


S2 = "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12"
RGB = "B{1..3}"
FOUR = "B{1..4}"

SHAPES = {
    # One file, a few, or many in one directory.
    "one-file": Shape(grid("00N_010E.tif", 3), 1, RGB, key="00N_010E"),
    "one-file-of-another-extension": Shape(grid("scene-SPECTRAL.tiff", 4), 1, FOUR),
    "one-file-deep-down": Shape(grid("a/b/c/d/e/f/only.tif", 3), 1, RGB, key="only"),
    "one-image-and-its-mask": Shape(
        grid("tile.tif", 3) | grid("tile_mask.tif"), 1, RGB, "mask", "tile"
    ),
    "flat": Shape(grid("patch_{n}.tif", 4, n=range(12)), 12, FOUR, key="patch_0"),
    "flat-with-dates": Shape(
        grid("m_38075{n}_ne_18_060_{date}.tif", 4, n="11 12", date="20181104 20190605"), 4, FOUR
    ),
    "flat-tile-grid": Shape(grid("tile_{x},{y}.tif", 4, x=range(3), y=range(3)), 9, FOUR),
    "flat-with-years": Shape(grid("Annual_Cover_{y}_V1.tif", y=range(2019, 2023)), 4),
    "flat-uuid": Shape(
        grid(
            "{a}-{b}-4c1d-9e2f-{c}.tif", 3, a="0f3a99c1 9b21e7d0", b="1a2b c3d4",
            c="00aa11bb22cc 33dd44ee55ff",
        ),
        8, RGB,
    ),
    "flat-image-ids": Shape(
        grid("source/2016_{t}_0e16_168{x}-298{y}-16.tif", 3, t="0928 0930", x="16 17", y="21 24"),
        8, RGB,
    ),
    "flat-two-variables": Shape(grid("N{n}E020{v}.tif", n="00 10 20", v="_agb _agb_err"), 3,
                                "B1 err", key="N00E020_agb"),
    "flat-names-without-structure": Shape(
        grid("{n}.tif", 3, n="alpha b-2 c_3_x d.4 e+5 f~6-7 g"), 7, RGB
    ),
    "scene-of-bands": Shape(
        grid("LC08_L2SP_023032_20210622_02_T1_{b}.TIF", b="SR_B1 SR_B2 SR_B3 ST_B10 QA_PIXEL"),
        1, "SR_B1 SR_B2 SR_B3 ST_B10", "qa-pixel", "LC08_L2SP_023032_20210622_02_T1",
    ),
    "scenes-of-bands": Shape(
        grid("LC08_{n}_{b}.TIF", n="023032 023033 023034", b="B1 B2 B3 B4 QA"), 3, FOUR, "qa"
    ),
    # Classes, splits, regions: directories of patches.
    "classes": Shape(
        grid("Images/{c}/{c}{n}.tif", 3, c="airplane beach forest", n="00 01 02"), 9, RGB,
        key="airplane00",
    ),
    "classes-with-numbers": Shape(
        grid("ds/tif/{c}/{c}_{n}.tif", 13, c="AnnualCrop SeaLake Forest", n=range(1, 5)), 12,
        "B{1..13}", key="AnnualCrop_1",
    ),
    "one-file-for-each-class": Shape(
        grid("tif/{c}/{c}_1.tif", 4, c="Annual Sea Forest"), 3, FOUR, key="Annual_1"
    ),
    "splits": Shape(
        grid("GID/img_dir/{s}/GF2_PMS1__L1A{n}-MSS1.tif", 4, s="train", n="0001 0002")
        | grid("GID/img_dir/{s}/GF2_PMS1__L1A{n}-MSS1.tif", 4, s="val test", n="1001"),
        4, FOUR,
    ),
    "splits-with-the-same-names": Shape(
        grid("{s}/{n}.tif", 3, s="train val test", n=range(4)), 12, RGB, key="test_0"
    ),
    "splits-in-parts": Shape(
        grid("train/part{p}/images/{n}.tif", 3, p="1 2", n=range(4))
        | grid("{s}/images/{n}.tif", 3, s="validation test", n=range(4)),
        16, RGB, key="part1_0",
    ),
    "joined-names-that-are-equal": Shape(
        grid("a_b/c_{n}.tif", 3, n=range(3)) | grid("a/b_c_{n}.tif", 3, n=range(3))
        | grid("z/c_{n}.tif", 3, n=range(3)) | grid("a_b/b_c_{n}.tif", 3, n=range(3)),
        12, RGB,
    ),
    "directories-of-different-depths": Shape(
        grid("a/{n}.tif", 3, n=range(3)) | grid("a/b/{n}.tif", 3, n=range(5, 9))
        | grid("c/d/e/{n}.tif", 3, n=range(3)),
        10, RGB,
    ),
    "root-and-directories": Shape(
        grid("x{n}.tif", 3, n=range(3)) | grid("more/x{n}.tif", 3, n=range(2, 9)), 10, RGB
    ),
    "deep-nesting": Shape(
        grid("{a}/{b}/{c}/{d}/{n}.tif", 2, a="x y", b="1 2", c="k", d="u v", n="0 1"), 16,
        "B1 B2", key="x_1_u_0",
    ),
    "seasons-of-the-same-places": Shape(
        grid("{y}/{s}/grid{g}/tile.tif", 3, y="2018 2019", s="fall snow", g="1 2"), 8, RGB
    ),
    # Bands as files.
    "bands-in-directories": Shape(
        grid("source/src_{n}/src_{n}_{b}_10m.tif", n="001c1 004fa 00c23", b=S2), 3, S2,
        key="src_001c1",
    ),
    "bands-and-a-file-elsewhere": Shape(
        grid("s2/{p}/{b}.tif", p="T43 T44 T45_x", b="B1 B2") | grid("s1/S1A/VV.tif"), 3, "B1 B2",
        left=1,
    ),
    "bands-by-short-names": Shape(
        grid("{s}_features/{n}/{b}.tif", s="train", n="aaaa bbbb cccc", b="B02 B03 B04 B08"), 3,
        "B02 B03 B04 B08",
    ),
    "bands-with-labels-elsewhere": Shape(
        grid("{s}_features/{n}/{b}.tif", s="train", n="aaaa bbbb", b="B02 B03 B04 B08")
        | grid("{s}_labels/{n}.tif", dtype="u1", s="train", n="aaaa bbbb"),
        2, "B02 B03 B04 B08", "train-labels", "aaaa",
    ),
    "bands-of-two-splits-with-labels": Shape(
        grid("{s}/features/{n}/{b}.tif", s="public private", n="aaaa bbbb", b="B02 B03 B04")
        | grid("{s}/labels/{n}.tif", dtype="u1", s="public private", n="aaaa bbbb"),
        4, "B02 B03 B04", "labels",
    ),
    "bands-of-dates-and-places": Shape(
        grid("s2/{n}/{d}/{n}_{d}_{b}_10m.tif", n=range(4), d="2017_07_22", b=S2), 4, S2,
        key="0_2017_07_22",
    ),
    "bands-and-clouds-of-dates": Shape(
        grid("00/00_{d}/00_{d}_{b}_10m.tif", d="20191105 20191110", b=S2)
        | grid("00/00_{d}/00_{d}_CLD_10m.tif", dtype="u1", d="20191105 20191110"),
        2, f"{S2} CLD", key="00_20191105",
    ),
    "bands-in-directories-of-dates": Shape(
        grid("{s}/2021_{m}/{n}_{b}.tif", s="train test", m="03 04 08", n="00 01",
             b="B01 B02 B03 B04"),
        12, "B01 B02 B03 B04", key="test_2021_03_00",
    ),
    "bands-of-pairs": Shape(
        grid("Onera images - all/{c}/imgs_{n}_rect/{b}.tif", c="paris rome", n="1 2",
             b="B01 B02 B03"),
        4, "B01 B02 B03", key="paris_imgs_1_rect",
    ),
    "resolutions-as-files": Shape(
        grid("{s}/grid{g}/32UME_{g}/32UME_{g}_10m_RGB.tif", 3, s="fall snow", g="1 2")
        | grid("{s}/grid{g}/32UME_{g}/32UME_{g}_10m_IR.tif", 1, s="fall snow", g="1 2")
        | grid("{s}/grid{g}/32UME_{g}/32UME_{g}_20m.tif", 6, s="fall snow", g="1 2")
        | grid("{s}/grid{g}/32UME_{g}/32UME_{g}_60m.tif", 2, s="fall snow", g="1 2")
        | grid("{s}/grid{g}/32UME_{g}/32UME_{g}_labels.tif", 1, "u1", s="fall snow", g="1 2"),
        4, "B{1..6} 10m_RGB_B{1..3} 60m_B{1..2} 10m_IR", "labels",
    ),
    "polarisations-that-differ": Shape(
        grid("S1A_{n}/S1A_{n}_{p}.tif", dtype="f4", n="1AE1 1AE2", p="VV VH")
        | grid("S1B_{n}/S1B_{n}_{p}.tif", dtype="f4", n="A784 A785", p="HH HV"),
        4, "HH HV VH VV",
    ),
    "bands-beside-a-picture-of-each": Shape(
        grid("100k/{p}/{n}/{b}.tif", p="000 001", n="T18_a T18_b", b="B1 B2 B3 B8A")
        | grid("100k/{p}/{n}.tif", 3, "u1", p="000 001", n="T18_a T18_b"),
        4, "B1 B2 B3 B8A parent_B{1..3}", key="000_T18_a",
    ),
    "a-band-that-some-lack": Shape(
        grid("p{n}/{b}.tif", n=range(6), b="red green nir") | grid("p{n}/swir.tif", n=range(4)),
        6, "green nir red swir",
    ),
    "a-band-that-one-lacks": Shape(
        {k: v for k, v in grid("p{n:>02}/{b}.tif", n=range(20), b="red green nir").items()
         if k != "p07/nir.tif"},
        20, "green nir red",
    ),
    "all-bands-in-one-file-of-one-name": Shape(
        grid("l/{p}/{t}/all_bands.tif", 7, p="0001 0002", t="LE07_2001 LE07_2002"), 4,
        "B{1..7}", key="0001_LE07_2001",
    ),
    "reference-maps-with-the-same-names": Shape(
        grid("S2/{t}/{t}_{n}/{t}_{n}_{b}.tif", t="T33 T34", n="26_57 26_58", b="B01 B02 B8A")
        | grid("Maps/{t}/{t}_{n}/{t}_{n}_reference_map.tif", t="T33 T34", n="26_57 26_58"),
        4, "B01 B02 B8A reference_map",
    ),
    # Images and masks.
    "masks-beside-images": Shape(
        grid("{c}/{n}_rgb.tif", 3, c="aachen koeln", n="0_0 1_1")
        | grid("{c}/{n}_dem.tif", 1, "f4", c="aachen koeln", n="0_0 1_1")
        | grid("{c}/{n}_seg.tif", 1, "u1", c="aachen koeln", n="0_0 1_1"),
        4, "B{1..3} dem", "seg", "aachen_0_0",
    ),
    "masks-whose-image-is-missing": Shape(
        grid("{c}/{n}_rgb.tif", 3, c="aachen", n="0_0 1_1")
        | grid("koeln/1_1_rgb.tif", 3)
        | grid("{c}/{n}_dem.tif", 1, "f4", c="aachen koeln", n="0_0 1_1")
        | grid("{c}/{n}_seg.tif", 1, "u1", c="aachen koeln", n="0_0 1_1"),
        3, "B{1..3} dem", "seg", "aachen_0_0", left=2,
    ),
    "masks-after-a-dot": Shape(
        grid("{s}/chip_512.S30.T11.{n}.v1.4_merged.tif", 6, s="training validation", n="1 2")
        | grid("{s}/chip_512.S30.T11.{n}.v1.4.mask.tif", 1, "i2", s="training validation", n="1 2"),
        4, "B{1..6}", "mask",
    ),
    "masks-in-a-sibling-directory": Shape(
        grid("images/M-{n}-c-4-2.tif", 3, "u1", n="33 34 35")
        | grid("masks/M-{n}-c-4-2.tif", 1, "u1", n="33 34 35"),
        3, RGB, "masks",
    ),
    "one-image-and-one-mask-in-siblings": Shape(
        grid("images/M-33.tif", 3, "u1") | grid("masks/M-33.tif", 1, "u1"), 1, RGB, "masks"
    ),
    "masks-with-the-bands-of-images": Shape(
        grid("images/{n}.tif", 3, "u1", n="a b c") | grid("masks/{n}.tif", 3, "u1", n="a b c"), 3,
        RGB, "masks",
    ),
    "fewer-masks-than-images": Shape(
        grid("AerialImages/train/images/austin{n}.tif", 3, n=range(1, 6))
        | grid("AerialImages/train/gt/austin{n}.tif", 1, "u1", n=range(1, 6))
        | grid("AerialImages/test/images/austin{n}.tif", 3, n=range(10, 14)),
        9, RGB, "gt",
    ),
    "masks-for-half-of-the-images": Shape(
        grid("Aerial/train/images/austin{n}.tif", 3, n=range(1, 6))
        | grid("Aerial/train/gt/austin{n}.tif", 1, "u1", n=range(1, 6))
        | grid("Aerial/test/images/austin{n}.tif", 3, n=range(10, 15)),
        10, RGB, "gt",
    ),
    "splits-of-images-and-masks": Shape(
        grid("{s}/images/{n}.tif", 3, s="train val", n=range(4))
        | grid("{s}/masks/{n}.tif", 1, "u1", s="train val", n=range(4)),
        8, RGB, "masks", "train_0",
    ),
    "masks-and-images-of-splits": Shape(
        grid("images/{s}/{n}.tif", 3, s="train val", n=range(4))
        | grid("masks/{s}/{n}.tif", 1, "u1", s="train val", n=range(4)),
        8, RGB, "masks", "train_0",
    ),
    "windows-and-kinds-of-labels": Shape(
        grid("{c}/s2_images/{w}/g_{n}.tif", 4, c="austria", w="window_a window_b", n=range(3))
        | grid("{c}/label_masks/{k}/g_{n}.tif", 1, "u1", c="austria",
               k="semantic_2class instance", n=range(3)),
        3, "B{1..4} window_b_B{1..4}", "instance semantic-2class",
    ),
    "labels-beside-a-directory-of-images": Shape(
        grid("4_Ortho_RGBIR/top_potsdam_{n}_RGBIR.tif", 4, "u1", n="2_10 2_11 5_15")
        | grid("top_potsdam_{n}_label.tif", 3, "u1", n="2_10 2_11 5_15"),
        3, FOUR, "label", "top_potsdam_2_10",
    ),
    "the-same-names-in-two-directories": Shape(
        grid("top_mosaic_09cm_area{n}.tif", 3, "u1", n="1 6 11")
        | grid("top/top_mosaic_09cm_area{n}.tif", 3, "u1", n="1 6 11"),
        3, "B{1..3} parent_B{1..3}", key="top_mosaic_09cm_area1",
    ),
    "images-beside-a-directory-of-labels": Shape(
        grid("area{n}.tif", 3, n="1 6 11") | grid("labels/area{n}.tif", 1, "u1", n="1 6 11"),
        3, RGB, "labels", "area1",
    ),
    "images-beside-a-directory-of-some-labels": Shape(
        grid("area{n}.tif", 3, n="1 2 3 4") | grid("labels/area{n}.tif", 1, "u1", n="1 2 3"),
        4, RGB, "labels", "area1",
    ),
    "changes": Shape(
        grid("{s}/pre-event/{s}x_{n}_pre_disaster.tif", 3, s="train val", n="0014 0047")
        | grid("{s}/post-event/{s}x_{n}_post_disaster.tif", 1, s="train val", n="0014 0047")
        | grid("{s}/target/{s}x_{n}_building_damage.tif", 1, "u1", s="train val", n="0014 0047"),
        4, "B{1..3} post_disaster building_damage", key="trainx_0014",
    ),
    "events-with-modalities": Shape(
        grid("activations/EMSR{e}/s1_raw/EMSR{e}-{n}.tif", 2, "f4", e="000 001", n="0 1")
        | grid("activations/EMSR{e}/DEM/EMSR{e}-{n}.tif", 1, "f4", e="000 001", n="0 1")
        | grid("activations/EMSR{e}/hydro/EMSR{e}-{n}.tif", 1, "u1", e="000", n="0 1")
        | grid("activations/EMSR{e}/mask/EMSR{e}-{n}.tif", 1, "u1", e="000 001", n="0 1"),
        4, "B{1..2} DEM hydro", "mask",
    ),
    "endings-by-modality": Shape(
        grid("train/{c}/BDORTHO/{n}-LA93.tif", 3, c="Nantes_Saint-Nazaire Nice", n="44-0295 06-1")
        | grid("train/{c}/RGEALTI/{n}-LA93_RGEALTI.tif", 1, "f4", c="Nantes_Saint-Nazaire Nice",
               n="44-0295 06-1")
        | grid("train/{c}/Atlas/{n}-LA93_UA2012.tif", 1, "u1", c="Nantes_Saint-Nazaire Nice",
               n="44-0295 06-1"),
        4, "B{1..3} RGEALTI UA2012",
    ),
    "sensors-with-the-same-names": Shape(
        grid("{d}/60m/Abies_alba_1_{n}_WEFL.tif", 4, "u1", d="aerial", n="834 835 836")
        | grid("{d}/60m/Abies_alba_1_{n}_WEFL.tif", 2, "f4", d="s1", n="834 835 836")
        | grid("{d}/60m/Abies_alba_1_{n}_WEFL.tif", 12, "u2", d="s2", n="834 835 836"),
        3, "B{1..12} aerial_B{1..4} s1_B{1..2}",
    ),
    "sensors-named-in-files": Shape(
        grid("ROIs_spring/s2_1/ROIs_spring_s2_1_p{n}.tif", 13, n=range(1, 5))
        | grid("ROIs_spring/s1_1/ROIs_spring_s1_1_p{n}.tif", 2, "f4", n=range(1, 4)),
        4, "B{1..13}", left=3,
    ),
    "three-sensors-of-three-tasks": Shape(
        grid("{t}/RemoteSensing/RGB/{n}.tif", 3, "u1", t="task1 task2 train", n="MLBS_4 TALL_1")
        | grid("{t}/RemoteSensing/HSI/{n}.tif", 9, t="task1 task2 train", n="MLBS_4 TALL_1")
        | grid("{t}/RemoteSensing/CHM/{n}.tif", 1, "f4", t="task1 task2 train", n="MLBS_4 TALL_1"),
        6, "B{1..9} RGB_B{1..3} CHM", key="task1_MLBS_4",
    ),
    "masks-named-otherwise": Shape(
        grid("boreal/p{n}_r21/L71{n}021_02120010803.TIF", 9, n="143 144 145")
        | grid("boreal/p{n}_r21/L7_p{n}_r21_newmask2015.TIF", 1, "u1", n="143 144 145"),
        3, "B{1..9}", left=3,
    ),
    "masks-with-the-scene": Shape(
        grid("{b}/{n}/{n}.TIF", 11, b="barren", n="LC8042LGN00 LC8053LGN00")
        | grid("{b}/{n}/{n}_fixedmask.TIF", 1, "u1", b="barren", n="LC8042LGN00 LC8053LGN00"),
        2, "B{1..11}", "fixedmask",
    ),
    "numbers-in-brackets": Shape(
        grid("{s}/input/img({n}).tif", 4, s="train val test", n="1 2")
        | grid("{s}/labels/target({n}).tif", 1, "u1", s="train val test", n="1 2"),
        6, FOUR, left=6,
    ),
    # Mixtures, of which one layout describes a part.
    "two-kinds-of-images": Shape(
        grid("spacenet/train/3band/3band_AOI_img{n}.tif", 3, n=range(1, 5))
        | grid("spacenet/train/8band/8band_AOI_img{n}.tif", 8, n=range(1, 4)),
        4, RGB, left=3,
    ),
    "features-and-targets-by-number": Shape(
        grid("train_features/{c}_S1_{m}.tif", 4, "f4", c="0003d2eb 000aa810", m="00 01 02")
        | grid("train_agbm/{c}_agbm.tif", 1, "f4", c="0003d2eb 000aa810"),
        6, FOUR, left=2,
    ),
    "kinds-that-no-name-tells": Shape(
        grid("a_{n}.tif", 3, n="0 2 4") | grid("a_{n}.tif", 4, n="1 3"), 3, RGB, left=2
    ),
    "a-mosaic-beside-patches": Shape(
        grid("patches/p_{n}.tif", 4, n=range(9)) | grid("mosaic.tif", 3), 9, FOUR, left=1
    ),
    "an-overview-in-each-directory": Shape(
        grid("{c}/{n}.tif", 4, c="a b c", n=range(5)) | grid("{c}/overview.tif", 3, c="a b c"),
        15, FOUR, left=3,
    ),
    # Names.
    "names-with-spaces": Shape(
        grid("my data/scene {n} final.tif", 3, n="1 2 3"), 3, RGB, key="scene 1 final"
    ),
    "names-with-dots": Shape(
        grid("a.b/x.{n}.v1.2.tif", 3, n="001 002 003"), 3, RGB, key="x.001.v1.2"
    ),
    "names-that-end-like-extensions": Shape(
        grid("x{n}.tif.tif", 3, n="a b c") | grid("x{n}.TIF.tif", 3, n="d e"), 5, RGB
    ),
    "names-with-braces": Shape(
        grid("{{a}}/{{{n}}}.tif", 3, n="1 2") | grid("{{a}}/{{{n}}}_mask.tif", 1, "u1", n="1 2"),
        2, RGB, "mask",
    ),
    "names-with-braces-in-bands": Shape(
        grid("p{n}/{{0}}_{b}.tif", n="1 2 3", b="{red} {1..3}"), 3, "0___red 0___1_3"
    ),
    "names-with-quotes": Shape(
        grid("it's/\"{n}\"'''.tif", 3, n="1 2 3"), 3, RGB, key="\"1\"'''"
    ),
    "names-with-brackets": Shape(grid("[a]/(x)[{n}]+*?^$|.tif", 3, n="1 2 3"), 3, RGB),
    "names-with-backslashes": Shape(grid("a\\b/x\\{n}\\d.tif", 3, n="1 2 3"), 3, RGB),
    "names-with-hashes": Shape(grid('#1/x = "{n}" # no.tif', 3, n="1 2 3"), 3, RGB),
    "names-in-other-scripts": Shape(
        grid("Åland/fjäll_{n}_雪.tif", 3, n="1 2 3")
        | grid("Åland/fjäll_{n}_雪_maske.tif", 1, "u1", n="1 2 3"),
        3, RGB, "maske",
    ),
    "names-in-two-normal-forms": Shape(
        grid("e\u0301_{n}.tif", 3, n="1 2") | grid("\u00e9_{n}.tif", 3, n="1 2"), 4, RGB
    ),
    "names-that-begin-with-dashes": Shape(grid("-x/--{n}.tif", 3, n="1 2 3"), 3, RGB),
    "names-of-spaces-and-separators": Shape(
        grid(" /_{n}.tif", 3, n="1 2 3") | grid("_/ {n}.tif", 3, n="1 2 3"), 6, RGB
    ),
    "long-names": Shape(grid("{d}/{n}" + "x" * 200 + ".tif", 3, d="d" * 200, n="1 2 3"), 3, RGB),
    "upper-case-extensions": Shape(grid("S_{n}.TIF", 3, n=range(4)), 4, RGB),
    "extensions-of-all-cases": Shape(
        grid("a{n}.tif", 3, n="1 2") | grid("a{n}.TIF", 3, n="3 4") | grid("a{n}.tiff", 3, n="5")
        | grid("a{n}.TIFF", 3, n="6") | grid("a{n}.Tif", 3, n="7"),
        7, RGB,
    ),
    "the-same-name-with-two-extensions": Shape(
        grid("a{n}.tif", 3, n="1 2 3") | grid("a3.TIF", 3), 2, RGB, left=2
    ),
    "nothing-but-the-same-name-with-two-extensions": Shape(
        grid("a.tif", 3) | grid("a.TIFF", 3), 0, left=2
    ),
    "bands-whose-extensions-differ": Shape(
        grid("p{n}/red.tif", n="1 2 3") | grid("p{n}/nir.TIF", n="1 2 3"), 3, "nir red"
    ),
    # What else lies in trees.
    "litter": Shape(
        grid("img/x_{n}.tif", 3, n="1 2 3")
        | litter("readme.txt", "img/x_1.tif.aux.xml", "img/x_1.tfw", "img/.x_1.tif",
                 "img/._x_2.tif", ".DS_Store", "img/x_1.png", "meta/a.json", "img/x_4.jp2"),
        3, RGB,
    ),
    "directories-without-files-of-patches": Shape(
        grid("p{n}/{b}.tif", n="1 2 3", b="red nir") | litter("p4/readme.txt", "docs/a.txt"),
        3, "nir red",
    ),
    "a-directory-called-like-a-file": Shape(
        grid("x.tif/{n}.tif", 3, n="1 2 3") | grid("{n}.tif", 3, n="4 5"), 5, RGB
    ),
    "patches-in-patches": Shape(
        grid("p1/{b}.tif", b="red nir") | grid("p1/p2/{b}.tif", b="red nir")
        | grid("p3/{b}.tif", b="red nir"),
        4, "B1 p2",
    ),
    "types-that-differ": Shape(
        grid("u{n}/u{n}.tif", 3, "u1", n="1 2") | grid("f{n}/f{n}.tif", 3, "f4", n="1 2"), 4, RGB
    ),
    "files-that-cross": Shape(
        grid("{p}.tif", 3, p="a/x b/y c/z") | grid("{p}.tif", 4, p="a/y b/x"), 3, RGB, left=2
    ),
    "an-image-called-like-its-directory": Shape(
        grid("{n}_30m_cdls/{n}_30m_cdls.tif", n="2022 2023"), 2, key="2022_30m_cdls"
    ),
    "names-of-templates": Shape(
        grid("{{name}}/{{band}}_{n}.tif", 3, n="1 2")
        | grid("{{name}}/{{folder1}}_{n}.tif", 3, n="1"),
        3, RGB,
    ),
    "bands-named-like-templates": Shape(
        grid("p{n}/{{name}}_{b}.tif", n="1 2 3", b="{{band}} {{name}}"), 6, "B1"
    ),
    "bands-named-like-the-field-of-a-name": Shape(
        grid("p{n}/{{name}}_{b}.tif", n="1 2 3", b="nir red"), 3, "name__nir name__red", key="p1"
    ),
    "names-of-numbers": Shape(grid("{c}/{n}.tif", 3, c="0 1 2", n="0 1 2"), 9, RGB, key="0_0"),
    "climate-means": Shape(
        grid("no2/EEA_grid_{t}_avg_{x}/2021-{m}-01_2021-{m}-28.tif", t="2021", x="34_13 35_13",
             m="01 04 07"),
        6, key="EEA_grid_2021_avg_34_13_2021-01-01_2021-01-28",
    ),
}  # fmt: skip
