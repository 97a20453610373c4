"""What a run has written so far, record by record, so that the next run can trust it.

Beside the digest of each value stands the mark of its files (see
`_tiff.Encoder.marks`): files that were edited between two runs are noticed.

The file is only ever appended to: a block per commit, written before the
commit. So every record has an entry; an entry without a record, or an older one
of the same key, does no harm. A block has its length (4 bytes) and its checksum
(XXH3, 64 bits) in front: what a kill has torn at the end is cut off.
"""

import heapq
import os
import struct
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from rs_tensor_encoder import digests
from rs_tensor_encoder.closing import Closing
from rs_tensor_encoder.digests import Digests
from rs_tensor_encoder.errors import TargetError, writing_failed

NAME = "rs-tensor-encoder.journal"

_BLOCK = struct.Struct("<IQ")
_ENTRY = struct.Struct("<16sQQH")

#: The mark of files of which nothing is known.
UNKNOWN = 0


class Entry(NamedTuple):
    """A record's key, the length and digest of its value, and the mark of its files."""

    key: bytes
    length: int
    digest: bytes
    mark: int


def packed(key: bytes, length: int, digest: bytes, mark: int) -> bytes:
    """Make the bytes of an `Entry`."""
    return _ENTRY.pack(digest, length, mark, len(key)) + key


class Journal(Closing):
    """The journal in a directory; made if it is not there.

    Parameters
    ----------
    directory : str
        The partial target.

    Raises
    ------
    OutOfSpaceError, TargetError
        If it cannot be read or written.
    """

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, NAME)
        self._digests = os.path.join(directory, digests.NAME)
        # Where the blocks of every run begin and end. Within a run, keys ascend.
        self._runs: list[tuple[int, int]] = []
        self._end = 0
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            self._scan()
            os.ftruncate(self._file, self._end)
        except OSError as error:
            raise writing_failed(self.path, error) from None
        # Each run begins with an empty block.
        self.append(b"")

    def close(self) -> None:
        """Close the file; nothing is forced to the disk by that."""
        os.close(self._file)

    def append(self, entries: bytes) -> None:
        """Add entries, `packed`, of a commit that comes behind those before in the order of keys.

        Raises
        ------
        OutOfSpaceError, TargetError
            If they cannot be written. The journal must not be used any more.
        """
        data = memoryview(_BLOCK.pack(len(entries), xxh3_64_intdigest(entries)) + entries)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise writing_failed(self.path, error) from None
        self._note(len(entries))

    def sync(self) -> None:
        """Force all of it to the disk."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise writing_failed(self.path, error) from None

    def entries(self) -> Iterator[Entry]:
        """Yield the newest entry of every key, in the order of the keys.

        A database that had been finished may have only its digests: then nothing
        is known of the files.
        """
        streams = [self._read(begin, end) for begin, end in reversed(self._runs)]
        if os.path.exists(self._digests):
            streams.append(Entry(*entry, UNKNOWN) for entry in Digests(self._digests))
        if len(streams) == 1:
            # The usual case, a run that was not interrupted: nothing to merge.
            yield from streams[0]
            return
        # Of entries that are equal, those of the first stream come first.
        merged = heapq.merge(*streams, key=itemgetter(0))
        for _, same in groupby(merged, key=itemgetter(0)):
            yield next(same)

    def _scan(self) -> None:
        """Find the runs, as far as the file is whole."""
        size = os.fstat(self._file).st_size
        while True:
            entries = self._block(self._end, size)
            if entries is None:
                return
            self._note(len(entries))

    def _note(self, length: int) -> None:
        begin = self._end
        self._end += _BLOCK.size + length
        if length and self._runs:
            self._runs[-1] = (self._runs[-1][0], self._end)
        else:
            self._runs.append((begin, self._end))

    def _block(self, at: int, end: int) -> bytes | None:
        """Read the entries of the block at a place; None if there is no whole one."""
        head = self._pread(_BLOCK.size, at)
        if len(head) < _BLOCK.size:
            return None
        length, checksum = _BLOCK.unpack(head)
        if length > end - at - _BLOCK.size:
            return None
        entries = self._pread(length, at + _BLOCK.size)
        return entries if xxh3_64_intdigest(entries) == checksum else None

    def _pread(self, length: int, at: int) -> bytes:
        """Read so many bytes, however many calls that takes; fewer only at the end of the file."""
        found = bytearray()
        while len(found) < length:
            more = os.pread(self._file, length - len(found), at + len(found))
            if not more:
                break
            found += more
        return bytes(found)

    def _read(self, at: int, end: int) -> Iterator[Entry]:
        while at < end:
            entries = self._block(at, end)
            if entries is None:
                raise TargetError(f"{self.path}: cannot be read any more")
            at += _BLOCK.size + len(entries)
            place = 0
            while place < len(entries):
                digest, length, mark, size = _ENTRY.unpack_from(entries, place)
                place += _ENTRY.size
                yield Entry(entries[place : place + size], length, digest, mark)
                place += size
