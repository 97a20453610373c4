"""What people read."""

import pytest

from rs_tensor_encoder.util.text import counted, sized


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "file", "0 files"),
        (1, "file", "1 file"),
        (1, "directory", "1 directory"),
        (2, "directory", "2 directories"),
        (1, "patch", "1 patch"),
        (549_488, "patch", "549,488 patches"),
        (3, "TIFF file", "3 TIFF files"),
        (2, "key", "2 keys"),
    ],
)
def test_numbers_and_what_they_count(number, noun, text):
    assert counted(number, noun) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (115_392, "115.4 kB"),
        (1_700_000, "1.7 MB"),
        (9.9e9, "9,900.0 MB"),
        (6.6e10, "66.0 GB"),
    ],
)
def test_sizes(size, text):
    assert sized(size) == text
