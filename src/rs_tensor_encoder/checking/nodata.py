"""The value with which GDAL fills strips and tiles that a file leaves out.

Written for the checker, independently of ``ext/nodata.pxd``; the rule is that
of GDAL 3.10, and the tests hold both to rasterio.
"""

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

_SPECIAL = re.compile(
    rb"(?P<nan>-1\.#QNAN|-1\.#IND|1\.#QNAN|1\.#SNAN|\+?(?:nan|NaN)\Z)"
    rb"|(?P<inf>-?1\.#[iI][nN][fF]|\+?-?(?:inf|Inf|INF|Infinity)\Z)"
)
_INTEGER = re.compile(rb"[ \t-\r]*([+-]?)0*(\d*)")
# GDAL looks for a decimal comma among so many characters.
_COMMA = re.compile(rb"[^,.]{0,49},")
_NUMBERS = {
    point: re.compile(rb"\+?(-?)(?=.?\d)(\d*)(?:%b(\d*))?(?:[eE]([+-]?\d+))?" % re.escape(point))
    for point in (b".", b",")
}
# Spellings that versions of GDAL read differently: before 3.10 as C's strtod does, then by names
# spelled exactly, later by names in any case.
_DISPUTED = re.compile(rb"[+-]*(?:nan|inf|0x|1\.#)|[\v\f]|\+-", re.IGNORECASE)
_SETTLED = (b"nan", b"inf", b"-inf")


def fill_value(text: bytes, dtype: npt.DTypeLike) -> Any:
    """Read the nodata text of a file (tag 42113) as GDAL does when it fills what is left out.

    Parameters
    ----------
    text : bytes
        The text; it ends at the first NUL, if there is one.
    dtype : dtype
        Sample type of the file.

    Returns
    -------
    numpy scalar
        The value, clipped and rounded to the sample type; 0 if the text does
        not begin with a number.
    """
    dtype = np.dtype(dtype)
    text = text.split(b"\0")[0]
    if dtype.kind in "iu" and dtype.itemsize == 8:
        return _integer(text, signed=dtype.kind == "i")
    value = _number(text)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.float64(value).astype(dtype)
    limits = np.iinfo(dtype)
    if math.isnan(value):
        return dtype.type(0)
    value = min(max(value, limits.min), limits.max)
    rounded = math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)
    return dtype.type(rounded)


def disputed(text: bytes) -> bool:
    """Tell whether versions of GDAL read a nodata text differently."""
    text = text.split(b"\0")[0].lstrip(b" \t\r\n")
    return text not in _SETTLED and _DISPUTED.match(text) is not None


def _number(text: bytes) -> float:
    point = b"," if _COMMA.match(text) else b"."
    text = text.lstrip(b" \t\r\n")
    special = _SPECIAL.match(text)
    if special is not None:
        return math.nan if special["nan"] else -math.inf if b"-" in special["inf"] else math.inf
    match = _NUMBERS[point].match(text)
    if match is None:
        return 0.0
    sign, whole, fraction, exponent = (part.decode() for part in match.groups(b""))
    if not whole and not fraction:
        return 0.0
    return float(f"{sign}{whole or '0'}.{fraction or '0'}e{exponent or '0'}")


def _integer(text: bytes, *, signed: bool) -> Any:
    """Read a 64-bit integer as C's strtoll and strtoull do."""
    match = _INTEGER.match(text)
    sign, digits = (part.decode() for part in match.groups()) if match else ("", "")
    # Digits beyond 20 do not fit in any case, and Python refuses to convert thousands of them.
    number = int(digits[:20] or "0") if len(digits) <= 20 else 1 << 65
    if signed:
        value = -number if sign == "-" else number
        return np.int64(min(max(value, -(1 << 63)), (1 << 63) - 1))
    if number >= 1 << 64:
        return np.uint64((1 << 64) - 1)
    return np.uint64((-number if sign == "-" else number) % (1 << 64))
