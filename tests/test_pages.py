"""What follows the first image in a file, and counts that no file can hold."""

import struct

import numpy as np
import pytest

from oracles import our_bands, our_value
from rs_tensor_encoder.errors import PatchError
from tiff_factory import LONG, LONG8, SHORT, ramp, strips


def with_pages(*kinds, **options):
    """A file whose further pages have such values of NewSubfileType; None: no such tag."""
    tiff = strips(ramp(), **options)
    for kind in kinds:
        tags = dict(tiff.tags)
        if kind is not None:
            tags[254] = (LONG, [kind])
        tiff.pages.append((tags, tiff.chunks))
    return tiff


# Bit 0: a reduced image, bit 1: a page of a document, bit 2: a mask, bit 3: a depth map (DNG).
ALLOWED = [1, 3, 4, 5, 6, 7, 9, 0x10001]
DATA = [None, 0, 2, 8, 10, 16, 0x10000]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", ALLOWED)
def test_overviews_and_masks_may_follow(tmp_path, kind, big):
    path = with_pages(kind, big=big).write(tmp_path / "x.tif")
    assert np.array_equal(our_bands(path)[0], ramp())


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", DATA)
def test_other_pages_are_data_that_would_be_lost(tmp_path, kind, big):
    for kinds in ([kind], [1, kind], [kind, 1], [1, 4, 1, kind, 4]):
        path = with_pages(*kinds, big=big).write(tmp_path / "x.tif")
        with pytest.raises(PatchError, match="more than one image in the file"):
            our_value(path)


@pytest.mark.parametrize("kind", [0, 1, 2, 4])
def test_what_the_first_page_says_of_itself_does_not_matter(tmp_path, kind):
    tiff = with_pages(1)
    tiff.tags[254] = (LONG, [kind])
    assert np.array_equal(our_bands(tiff.write(tmp_path / "x.tif"))[0], ramp())


def test_the_kind_of_a_page_is_one_whole_number(tmp_path):
    for values, kind, said in (([1, 0], LONG, "differs"), ([1], 11, "the field type 11")):
        tiff = with_pages(1)
        tiff.pages[0][0][254] = (LONG, values)
        data = bytearray(tiff.data())
        at = data.rindex(struct.pack("<HHI", 254, LONG, len(values)))
        struct.pack_into("<H", data, at + 2, kind)
        (tmp_path / "x.tif").write_bytes(data)
        with pytest.raises(PatchError, match=f"NewSubfileType.*{said}"):
            our_value(tmp_path / "x.tif")


# Counts times the size of a value that are 0, or small, in 64 bits.
WRAPPING = [
    (kind, (1 << 64) // size + more)
    for kind, size in ((SHORT, 2), (LONG, 4), (LONG8, 8), (12, 8))
    for more in (0, 1)
]


@pytest.mark.parametrize("tag", [256, 258, 273, 279, 339])
@pytest.mark.parametrize(("kind", "count"), WRAPPING)
def test_counts_whose_bytes_pass_64_bits(tmp_path, tag, kind, count):
    """Such as 2 to the power of 61 values of 8 bytes: none of them is looked for."""
    tiff = strips(ramp(), 8, big=True)
    data = bytearray(tiff.data())
    (entries,) = struct.unpack_from("<Q", data, 16)
    places = [24 + 20 * i for i in range(entries)]
    at = next(place for place in places if struct.unpack_from("<H", data, place) == (tag,))
    struct.pack_into("<HQ", data, at + 2, kind, count)
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(PatchError, match=f"the tag {tag} has {count} values, more than the file"):
        our_value(tmp_path / "x.tif")


@pytest.mark.parametrize("count", [1 << 60, (1 << 64) // 20, (1 << 64) // 20 + 1, (1 << 64) - 1])
def test_directories_whose_bytes_pass_64_bits(tmp_path, count):
    data = bytearray(strips(ramp(), 8, big=True).data())
    struct.pack_into("<Q", data, 16, count)
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(PatchError, match=f"a directory has {count} entries"):
        our_value(tmp_path / "x.tif")


@pytest.mark.parametrize("place", [(1 << 64) - 1, (1 << 64) - 8, 1 << 63])
def test_places_near_the_end_of_64_bits(tmp_path, place):
    """Of the first directory, of the next, of values, and of strips."""
    whole = strips(ramp(), 8, big=True).data()
    (entries,) = struct.unpack_from("<Q", whole, 16)
    fields = {8: "a directory is said to lie", 24 + 20 * entries: "a directory is said to lie"}
    for number in range(entries):
        at = 24 + 20 * number
        tag, _, count = struct.unpack_from("<HHQ", whole, at)
        if tag in (273, 279):
            assert count == 3
            fields[at + 12] = f"the values of the tag {tag} lie outside the file"
    assert len(fields) == 4
    for at, said in fields.items():
        data = bytearray(whole)
        struct.pack_into("<Q", data, at, place)
        (tmp_path / "x.tif").write_bytes(data)
        with pytest.raises(PatchError, match=said):
            our_value(tmp_path / "x.tif")
    tiff = strips(ramp(), big=True)
    tiff.tags[273] = (LONG8, [place])
    with pytest.raises(PatchError, match="not inside the file"):
        our_value(tiff.write(tmp_path / "x.tif"))
