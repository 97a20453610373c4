"""What a file is that is not the TIFF file, or not the directory, that it was taken for."""

import os

from rs_tensor_encoder.errors import missing

# First bytes, and what begins with them. Sources: the specifications of the formats; the
# pointer files of Git LFS are described in its docs/spec.md.
_ARCHIVES = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"PAR1", "a Parquet file"),
    (b"#y", "a tortilla file"),
)
_DOWNLOAD = "which a server sent in its place: download it again"
_OTHERS = (
    (b"version https://git-lfs", "a Git LFS pointer: run git lfs pull in its repository"),
    (b"<!doctype html", f"a web page, {_DOWNLOAD}"),
    (b"<html", f"a web page, {_DOWNLOAD}"),
    (b"<?xml", f"an XML text, {_DOWNLOAD}"),
    (b"{", f"a JSON text, {_DOWNLOAD}"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\0\0\0\x0cjP", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"CDF", "a NetCDF file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"%PDF", "a PDF document"),
    (b"\0\5\x16\7", "a resource file of macOS (AppleDouble)"),
)
_HEAD = 512


def archive_kind(path: str) -> str | None:
    """Tell what kind of archive a file is: "a zip archive"; None if it is none, or unreadable."""
    head = _head(path)
    for start, kind in _ARCHIVES:
        if head.startswith(start):
            return kind
    return "a tar archive" if head[257:262] == b"ustar" else None


def no_directory(path: str) -> str:
    """Say why a path is not a directory that could be looked into."""
    try:
        os.stat(path)
    except PermissionError as error:
        return f"cannot be looked at: {error.strerror}"
    except OSError:
        return missing(path)
    kind = archive_kind(path)
    if kind is not None:
        return f"is {kind}: unpack it first, and name the directory that it was unpacked to"
    return "is not a directory: name the one that the files are in"


def describe_file(path: str) -> str | None:
    """Tell what a file that is no TIFF file is, and what helps; None if that is not known."""
    archive = archive_kind(path)
    if archive is not None:
        return f"{archive}: unpack it first"
    head = _head(path)
    text = head.lstrip().lower()
    for start, kind in _OTHERS:
        if head.startswith(start) or text.startswith(start):
            return kind
    if head and not head.strip(b"\0"):
        return "a file of zeros: its copy or download was not finished"
    return None


def _head(path: str) -> bytes:
    try:
        # A pipe would be waited for without end.
        if not os.path.isfile(path):
            return b""
        with open(path, "rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""
