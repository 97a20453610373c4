"""A picture of a patch: Sentinel-2 in natural colours beside its radar bands."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rs_tensor_encoder.errors import EncoderError

# Times that a pixel is enlarged.
_SCALE = 3
_GAP = 8


class PreviewError(EncoderError):
    """Pictures need a package that is not installed."""

    exit_code = 2


def save_preview(
    path: str, sentinel_2: dict[str, npt.NDArray[Any]], sentinel_1: dict[str, npt.NDArray[Any]]
) -> None:
    """Write a PNG: bands B04, B03, B02 as red, green, blue; then VV; then VH.

    Each panel is stretched from its 2nd to its 98th percentile.

    Parameters
    ----------
    path : str
        The file to write.
    sentinel_2, sentinel_1 : dict of str to array
        Tensors of the two patches, 2-D (rows, columns), 120 x 120.

    Raises
    ------
    PreviewError
        If Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise PreviewError(
            "pictures need Pillow; install it with: pip install 'rs-tensor-encoder[preview]'"
        ) from None
    colours = np.stack([sentinel_2[band] for band in ("B04", "B03", "B02")], axis=-1)
    panels = {
        "Sentinel-2 B04 B03 B02": _stretched(colours),
        "Sentinel-1 VV": _stretched(sentinel_1["VV"]),
        "Sentinel-1 VH": _stretched(sentinel_1["VH"]),
    }
    side = 120 * _SCALE
    label = 20
    width = len(panels) * side + (len(panels) + 1) * _GAP
    picture = Image.new("RGB", (width, side + 2 * _GAP + label), "white")
    draw = ImageDraw.Draw(picture)
    for index, (title, pixels) in enumerate(panels.items()):
        left = _GAP + index * (side + _GAP)
        panel = (
            Image.fromarray(pixels).convert("RGB").resize((side, side), Image.Resampling.NEAREST)
        )
        picture.paste(panel, (left, _GAP + label))
        draw.text((left, _GAP), title, fill="black")
    picture.save(path)


def _stretched(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(values, (2, 98))
    scaled = (values.astype(np.float64) - low) / max(high - low, 1e-9) * 255
    pixels: npt.NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return pixels
