"""The evidence beside a database: key, length and digest of every record.

The file is written once and read from its beginning to its end, so that any
number of records takes no memory. All numbers are little-endian::

    head      16 bytes   b"rs-tensor-digest"
               4 bytes   version of the format: 1
              12 bytes   name of the digest, ended by zeros: b"xxh3-128"
               8 bytes   number of records
    record    16 bytes   digest of the value, as xxhash writes it (big-endian)
               8 bytes   length of the value
               2 bytes   length of the key, 1 to 511
                         the key
    end       32 bytes   SHA-256 of all that comes before: the digest of the whole

The records are sorted bytewise by key, and no key is there twice: the same
records give the same file. The digests are those of xxHash, which finds any
accident at the speed of memory (measured for values of 160 KB: 3 us each, and 82
for SHA-256, which would have cost a quarter of the time of encoding).
"""

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from xxhash import xxh3_128_digest

from rs_tensor_encoder.errors import EncoderError, TargetError, writing_failed
from rs_tensor_encoder.util.sync import sync_file

NAME = "rs-tensor-encoder.digests"

_MAGIC = b"rs-tensor-digest"
_VERSION = 1
_ALGORITHM = b"xxh3-128".ljust(12, b"\0")
_HEAD = struct.Struct("<16sI12sQ")
_RECORD = struct.Struct("<16sQH")
_END = 32
_PIECE = 1 << 20


class Entry(NamedTuple):
    """What is known of a record: its key, and the length and digest of its value."""

    key: bytes
    length: int
    digest: bytes


def digest_of(value: bytes | memoryview) -> bytes:
    """Digest of a value: XXH3, 128 bits, in 16 bytes."""
    return bytes(xxh3_128_digest(value))


def beside(directory: str) -> bool:
    """Tell whether there are digests beside a database."""
    return os.path.lexists(os.path.join(directory, NAME))


def write(path: str, entries: Iterable[tuple[bytes, int, bytes]], count: int) -> str:
    """Write the digests of a database: whole or not at all, and on the disk.

    Parameters
    ----------
    path : str
        The file.
    entries : iterable of (key, length, digest)
        As of `Entry`, sorted by key.
    count : int
        How many there are.

    Returns
    -------
    str
        The digest of the whole, in hexadecimal.

    Raises
    ------
    OutOfSpaceError, TargetError
        If it cannot be written.
    EncoderError
        If there are more or fewer entries, or they are not sorted.
    """
    new = path + ".new"
    try:
        with open(new, "wb") as file:
            whole = _write(file, entries, count)
            file.flush()
            sync_file(file.fileno())
        os.replace(new, path)
    except OSError as error:
        raise writing_failed(path, error) from None
    return whole


def _write(file: IO[bytes], entries: Iterable[tuple[bytes, int, bytes]], count: int) -> str:
    whole = hashlib.sha256()

    def put(data: bytes) -> None:
        whole.update(data)
        file.write(data)

    # Written and hashed many at a time: there are millions.
    data = bytearray(_HEAD.pack(_MAGIC, _VERSION, _ALGORITHM, count))
    last = b""
    found = 0
    for key, length, digest in entries:
        if key <= last:
            raise EncoderError(f"digests must be sorted by key, but {key!r} follows {last!r}")
        data += _RECORD.pack(digest, length, len(key))
        data += key
        last = key
        found += 1
        if len(data) > _PIECE:
            put(bytes(data))
            data.clear()
    put(bytes(data))
    if found != count:
        raise EncoderError(f"there are digests of {found} records, not of {count}")
    file.write(whole.digest())
    return whole.hexdigest()


class Digests:
    """A file of digests that was held to its own digest when it was opened.

    ``count`` is the number of records, ``whole`` the digest of all of it in
    hexadecimal. Iterating yields every `Entry`, in the order of the keys.

    Parameters
    ----------
    path : str
        The file.

    Raises
    ------
    TargetError
        If it cannot be read, is of another version, torn or edited.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        if os.path.exists(path) and not os.path.isfile(path):
            raise TargetError(f"{path}: not a regular file")
        try:
            with open(path, "rb") as file:
                head = file.read(_HEAD.size)
                size = os.fstat(file.fileno()).st_size
                magic, version, algorithm, self.count = (
                    _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0, b"", 0)
                )
                if magic != _MAGIC:
                    raise TargetError(f"{path}: not a file of digests, or cut short")
                if version != _VERSION or algorithm != _ALGORITHM:
                    raise TargetError(f"{path}: written by another version of rs-tensor-encoder")
                self.whole = self._hold(file, head, size - _HEAD.size - _END)
        except OSError as error:
            if isinstance(error, TargetError):
                raise
            raise TargetError(f"{path}: cannot be read: {error.strerror}") from None

    def _hold(self, file: IO[bytes], head: bytes, left: int) -> str:
        """Compare all of the file with the digest at its end."""
        whole = hashlib.sha256(head)
        while left > 0:
            piece = file.read(min(_PIECE, left))
            if not piece:
                break
            whole.update(piece)
            left -= len(piece)
        if left or file.read() != whole.digest():
            raise self._damaged()
        return whole.hexdigest()

    def __iter__(self) -> Iterator[Entry]:
        with open(self.path, "rb") as file:
            file.seek(_HEAD.size)
            last = b""
            for _ in range(self.count):
                fixed = file.read(_RECORD.size)
                if len(fixed) < _RECORD.size:
                    raise self._damaged()
                digest, length, size = _RECORD.unpack(fixed)
                key = file.read(size)
                if len(key) != size or key <= last:
                    raise self._damaged()
                yield Entry(key, length, digest)
                last = key
            if len(file.read(_END + 1)) != _END:
                raise self._damaged()

    def _damaged(self) -> TargetError:
        return TargetError(f"{self.path}: torn or edited: its contents and its digest differ")
