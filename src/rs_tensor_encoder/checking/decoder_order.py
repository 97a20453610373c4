"""Which decoder reads a file for the checker: the one that was chosen, or the next that can.

The order is that of `decoders.NAMES` behind the chosen one. A decoder is passed
over if it is not installed, if it is known to read such a file differently
(see `decoder_limits`), if it fails, or if it changes the type or the shape of the
samples.
"""

from collections.abc import Iterator
from typing import NamedTuple

from rs_tensor_encoder.checking import decoders
from rs_tensor_encoder.checking.decoder_limits import doubt
from rs_tensor_encoder.checking.decoders import Bands, Decoder, DecoderError
from rs_tensor_encoder.checking.tiff_tags import JPEG, TagError, TiffTags, read_tags


class Reading(NamedTuple):
    """The bands of a file, and which decoder read them."""

    decoder: str
    bands: Bands


class File:
    """A file that decoders are asked about, one after the other.

    ``reasons`` tells why those that were passed over could not be asked;
    ``tags`` is None if the tags cannot be read; ``too_large`` tells whether
    the limit was the reason, which is the same for all decoders.
    """

    def __init__(self, path: str, order: "DecoderOrder") -> None:
        self.path = path
        self.reasons: dict[str, str] = {}
        self.tags: TiffTags | None = None
        self.too_large = False
        try:
            self.tags = read_tags(path)
        except FileNotFoundError:
            raise
        except (TagError, OSError):
            # The decoders say what is wrong, each in its own words.
            pass
        self._order = order
        self._readings = self._read()

    @property
    def rounds(self) -> bool:
        """Whether decoders may round the pixels differently, and each be right."""
        return self.tags is not None and self.tags.compression == JPEG

    def next_reading(self) -> Reading | None:
        """Read the file by the next decoder that can; None if there is no other."""
        return next(self._readings, None)

    def _read(self) -> Iterator[Reading]:
        for name in self._order.names:
            decode = self._order.find(name)
            if isinstance(decode, str):
                self.reasons[name] = decode
                continue
            try:
                self._hold()
                reason = self.tags and doubt(name, self.path, self.tags)
                if reason:
                    self.reasons[name] = f"not asked: {reason}"
                    continue
                bands = decode(self.path, self.tags)
            except FileNotFoundError:
                raise
            except decoders.TooLargeError as error:
                self.reasons[name] = f"{decoders.FAILED}: {error}"
                self.too_large = True
                return
            except Exception as error:  # noqa: BLE001  decoders raise what they like
                self.reasons[name] = f"{decoders.FAILED}: {str(error) or type(error).__name__}"
                continue
            reason = self._changed(bands)
            if reason is not None:
                self.reasons[name] = reason
                continue
            yield Reading(name, bands)

    def _hold(self) -> None:
        """Refuse a file that is too large before any of it is looked at."""
        size = 0
        if self.tags is not None:
            size = self.tags.rows * self.tags.columns * self.tags.samples * self.tags.bits // 8
        decoders.hold(self.path, size, self._order.limit)

    def _changed(self, bands: Bands) -> str | None:
        """Say how a decoder has changed what the tags say of the samples."""
        tags = self.tags
        if tags is None or tags.dtype is None:
            return None
        if bands.dtype != tags.dtype:
            return f"reads samples of type {tags.dtype} as {bands.dtype}"
        if bands.shape != (tags.samples, tags.rows, tags.columns):
            stored = f"{tags.samples} x {tags.rows} x {tags.columns}"
            return f"reads {stored} samples as {' x '.join(map(str, bands.shape))}"
        return None


class DecoderOrder:
    """The decoders in the order in which they are asked, each loaded when it is needed first.

    Parameters
    ----------
    chosen : str
        The first one, which must be installed.
    limit : int
        Bytes of a file, and of its decoded pixels, beyond which it is refused.

    Raises
    ------
    DecoderError
        If the first one is not installed.
    """

    def __init__(self, chosen: str, limit: int) -> None:
        self.names = (chosen, *(name for name in decoders.NAMES if name != chosen))
        self.limit = limit
        self._found: dict[str, Decoder | str] = {chosen: decoders.decoder(chosen, limit)}

    def find(self, name: str) -> Decoder | str:
        """Load a decoder; a text instead if it is not installed."""
        if name not in self._found:
            try:
                self._found[name] = decoders.decoder(name, self.limit)
            except DecoderError:
                self._found[name] = decoders.MISSING
        return self._found[name]

    def open(self, path: str) -> File:
        """Begin to ask about a file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        return File(path, self)
