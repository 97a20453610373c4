"""What people read."""

import pytest

from rs_tensor_encoder.plain import counted


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
