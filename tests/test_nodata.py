"""What stands for no data: our two readings of its text, beside GDAL's, in every sample type."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from oracles import our_bands, rasterio_bands
from rs_tensor_encoder.checking.nodata import disputed, fill_value
from tiff_factory import ASCII, SHORT, strips

#: Texts that are put together by chance.
TEXTS = int(os.environ.get("RS_TENSOR_NODATA", "1500"))
SEED = int(os.environ.get("RS_TENSOR_SEED", random.randrange(10**6)))

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]

GDAL = tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])

#: By subject; each is read in every sample type.
PICKED = [
    *["0", "7", "-1", "-9999", "-32768", "255", "256", "65535", "65536", "4294967296"],
    *["9007199254740993", "-9007199254740993", "9223372036854775807", "9223372036854775808"],
    *["-9223372036854775808", "-9223372036854775809", "18446744073709551615"],
    *["18446744073709551616", "-18446744073709551615", "-18446744073709551616", "9" * 5000],
    *["1.5", "-1.5", "2.5", "0.5", "-0.5", "0.49999999999999994", "254.5", "255.5", "127.5"],
    *["7,5", "1,5e2", "1.5,2", "1,5.2", "1,", ",5", "-,5", ",", "1,2,3", "-0,0"],
    *[" " * n + "1,5" for n in (48, 49, 50, 51)],
    *["0" * n + "1,5" for n in (48, 49, 50, 51)],
    *["1e3", "1E3", "1e-3", "5e", "5e+", "5e-", "5e+-2", "1e5e5", "e5", ".e5", "5.e2", "1d3"],
    *["1e400", "-1e400", "1e-400", "0e99999999999999999999", "1e99999999999999999999"],
    *["3.4028234663852886e38", "3.4028235e38", "3.4028236e38", "-3.4028235e+38", "3.5e38"],
    *["1e-45", "7e-46", "4.9e-324", "2.4e-324", "16777217", "0.1", "-0.0", "-0"],
    "1.00000000000000011102230246251565404236316680908203125",
    "1.00000000000000011102230246251565404236316680908203125" + "0" * 900 + "1",
    *["1" * 300, "0." + "0" * 300 + "1" * 900, "1" * 2000 + "e-1990", " " * 600 + "7"],
    *[" 3", "\t3", "\n3", "\r3", "3 ", "3abc", "1_000", "1 000", "1;5", "$5", "\u0663"],
    *["", "-", "+", ".", "-.", "+.", "+5", "--5", "++5", "-+5", "+ 5", "- 5", "+.5", "-.5"],
    *["abc", "null", "None", "N/A", "1f", "1.2.3", "1+2", "+ nan", "1,#INF", "-1,#IND"],
    *["nan", " nan", "inf", "-inf"],
]  # fmt: skip

#: What only some versions of GDAL read as the one of our rule does.
ODD = [
    *["0x10", "0X10", "-0x10", "0x1p3", "\v3", "\f3", "+-5", "+-inf", "+-nan", "+-.5"],
    *["NaN", "NAN", "Nan", "-nan", "+nan", "+NaN", "-NaN", "nan ", "nanx", "nan(1)"],
    *["Inf", "INF", "iNF", "inf ", "infx", "-INF", "-Inf", "-iNf", "+inf", "+INF", "+Inf"],
    *["infinity", "Infinity", "INFINITY", "-infinity", "-Infinity", "+Infinity", "-Infinityx"],
    *["1.#QNAN", "1.#QNANx", "1.#qnan", "-1.#QNAN", "1.#SNAN", "-1.#SNAN", "-1.#IND", "1.#IND"],
    *["1.#INF", "1.#inf", " 1.#INF", "-1.#INF", "-1.#infx", "+1.#INF", " -1.#IND", "+-1.#INF"],
    *["+1.#QNAN", "--inf", "-+inf", "+-Infinity", "+-1.#IND"],
]  # fmt: skip


@pytest.fixture
def filled(tmp_path):
    """Read a sparse strip by others and by ourselves: filled(dtype, values, kind)."""

    def call(dtype, values, kind=ASCII):
        tiff = strips(np.ones((2, 1), dtype), 1)
        tiff.chunks[1] = b""
        tiff.tags[42113] = (kind, values)
        path = tiff.write(tmp_path / "x.tif")
        return rasterio_bands(path)[0, 1, 0], our_bands(path)[0, 1, 0]

    return call


def same(*values):
    return len({(value.dtype, value.tobytes()) for value in values}) == 1 or all(
        np.isnan(value) for value in values
    )


@pytest.mark.parametrize("dtype", TYPES)
def test_texts_are_read_as_gdal_reads_them(filled, dtype):
    for text in PICKED:
        assert not disputed(text.encode()), text
        values = text.encode() + b"\0"
        found = (*filled(dtype, values), fill_value(values, dtype))
        assert same(*found), (text, found)


@pytest.mark.parametrize("dtype", TYPES)
def test_texts_that_versions_of_gdal_read_differently(filled, dtype):
    for text in ODD:
        assert disputed(text.encode()), text
        values = text.encode() + b"\0"
        theirs, ours = filled(dtype, values)
        assert same(ours, fill_value(values, dtype)), text
        if GDAL == (3, 10):
            assert same(ours, theirs), (text, ours, theirs)


def test_texts_of_chance_are_read_as_gdal_reads_them(filled):
    print(f"RS_TENSOR_SEED={SEED}")
    chance = random.Random(SEED)
    parts = ["0", "1", "25", "9", "007", ".", ",", "-", "+", "e", "E", " ", "x", "\t", "5e3", "38"]
    for _ in range(TEXTS):
        text = "".join(chance.choices(parts, k=chance.randint(1, 9)))
        values = text.encode() + b"\0"
        for dtype in chance.sample(TYPES, 3):
            found = (*filled(dtype, values), fill_value(values, dtype))
            if GDAL >= (3, 10) or not disputed(values):
                assert same(*found), (text, dtype, found)


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 6, 7, 8, 9, 16])
@pytest.mark.parametrize("values", [b"7.5\0", b"7.5", b"7", b"7\x005\0", b"\0", b"12345678.25"])
def test_the_text_may_be_numbers(filled, kind, values):
    for dtype in ("f8", "i2", "u8"):
        theirs, ours = filled(dtype, values if kind == ASCII else list(values), kind)
        assert same(theirs, ours), dtype
        assert same(ours, fill_value(values, dtype)), dtype


@pytest.mark.parametrize("kind", [SHORT, 4, 16, 6, 8, 9])
def test_numbers_that_are_no_characters_are_no_text(filled, kind):
    wrong = [55, -1] if kind in (6, 8, 9) else [55, 256]
    theirs, ours = filled("f4", wrong, kind)
    assert theirs == ours == 0
    assert filled("f4", [55, 55], kind) == (77, 77)


def test_the_locale_has_no_say(tmp_path):
    """Numbers are read alike where the decimal point of the locale is a comma."""
    names = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    commas = [name for name in names.split() if name.startswith(("de_", "fr_"))]
    if not commas:
        made = ["localedef", "-i", "de_DE", "-f", "UTF-8", str(tmp_path / "de_DE.UTF-8")]
        if subprocess.run(made, capture_output=True, check=False).returncode:
            pytest.skip("no locale with a decimal comma is installed, and none can be made")
    program = (
        "import locale, pathlib, sys; sys.path.insert(0, sys.argv[1]);"
        "import numpy as np; from oracles import our_bands; from tiff_factory import strips;"
        "locale.setlocale(locale.LC_ALL, sys.argv[3]);"
        "assert locale.localeconv()['decimal_point'] == ',';"
        "tiff = strips(np.ones((2, 1), 'f8'), 1); tiff.chunks[1] = b'';"
        "tiff.tags[42113] = (2, b'-1.25e1\\0'); path = pathlib.Path(sys.argv[2]) / 'x.tif';"
        "assert our_bands(tiff.write(path))[0, 1, 0] == -12.5"
    )
    name = commas[0] if commas else "de_DE.UTF-8"
    environment = dict(os.environ)
    if not commas:
        environment["LOCPATH"] = str(tmp_path)
    here = str(Path(__file__).parent)
    subprocess.run(
        [sys.executable, "-c", program, here, str(tmp_path), name], check=True, env=environment
    )
