"""What a TIFF file says it holds, without decoding it: for people, not for encoding."""

import logging
import os
from dataclasses import dataclass
from typing import Any

from rs_tensor_encoder.util import file_names
from rs_tensor_encoder.util.text import counted


@dataclass(frozen=True)
class Looks:
    """Bands, rows and columns of a file, its sample type, and what its bands are called.

    ``names`` is empty where the file does not name all of its bands.
    """

    bands: int
    rows: int
    columns: int
    dtype: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{counted(self.bands, 'band')}, {self.dtype}, {self.rows} x {self.columns}"


def inside(path: str, root: str) -> bool:
    """Tell whether a path, all links followed, is below a root."""
    real = os.path.realpath(root)
    return os.path.commonpath([real, os.path.realpath(path)]) == real


def look_into(root: str, path: str) -> Looks:
    """Read the first directory of a TIFF file.

    Parameters
    ----------
    root, path : str
        A tree, and a path below it, in UTF-8: links are followed inside the tree only.

    Raises
    ------
    ValueError
        If it is no TIFF file, or cannot be read; the text says why.
    """
    import tifffile

    path = os.path.join(root, file_names.to_path(path))
    # A pipe would be waited for without end.
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("not a regular file")
    if not inside(path, root):
        raise ValueError("leads out of the tree by a symbolic link")
    # It would log what it also raises.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            separate, depth, rows, columns, together = page.shaped
            if depth != 1 or page.dtype is None:
                raise ValueError("it is not a picture of one or more bands")  # noqa: TRY301
            bands = separate * together
            return Looks(bands, rows, columns, page.dtype.name, _names(file, bands))
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    except Exception as error:  # noqa: BLE001  it raises what it likes
        raise ValueError(f"not a TIFF file that can be understood: {error}") from None


def _names(file: Any, bands: int) -> tuple[str, ...]:
    """Descriptions of the bands that GDAL has written, if all have one of their own."""
    from xml.etree import ElementTree as ET

    tag = file.pages.first.tags.get(42112)
    try:
        items: list[Any] = list(ET.fromstring(tag.value)) if tag else []  # noqa: S314
    except (ET.ParseError, TypeError):
        return ()
    names: dict[str, str] = {}
    for item in items:
        text = (item.text or "").strip()
        if item.get("role") == "description" and text:
            names[item.get("sample", "")] = text
    found = tuple(names.get(str(band), "") for band in range(bands))
    return found if all(found) and len(set(found)) == bands else ()
