"""What a run has written so far, record by record, so that the next run can trust it.

Beside the digest of each value stands the mark of its files (see
`_tiff.Encoder.marks`): files that were edited between two runs are noticed.

The file is only ever appended to: a block per commit, written before the
commit. So every record has an entry; an entry without a record, or an older one
of the same key, does no harm. All numbers are little-endian::

    head       4 bytes   length of what follows the head; 0 begins a run
               8 bytes   checksum of it (XXH3, seeded by the version of this format): what
                         a kill has torn at the end, or an older build has written, is cut off
    entries    4 bytes   how many
              32 bytes   of each: digest, length and mark, as of `_tiff.Task.facts`
               2 bytes   of each: length of its key
                         the keys
"""

import heapq
import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter

from xxhash import xxh3_64_intdigest

from rs_tensor_encoder.errors import TargetError, writing_failed
from rs_tensor_encoder.storage import digest_file
from rs_tensor_encoder.storage.digest_file import Digests
from rs_tensor_encoder.util.closeable import Closing
from rs_tensor_encoder.util.sync import sync_file

NAME = "rs-tensor-encoder.journal"

_VERSION = 2
_BLOCK = struct.Struct("<IQ")
_COUNT = struct.Struct("<I")
_FACT = struct.Struct("<16sQQ")

#: The mark of files of which nothing is known.
UNKNOWN = 0

#: A record's key, the length and digest of its value, and the mark of its files: a plain
#: tuple, because there are millions.
Entry = tuple[bytes, int, bytes, int]


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
        self._digests = os.path.join(directory, digest_file.NAME)
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
        self._append(b"")

    def close(self) -> None:
        """Close the file; nothing is forced to the disk by that."""
        os.close(self._file)

    def append(self, keys: Sequence[bytes], facts: bytes) -> None:
        """Add the entries of a commit that comes behind those before in the order of keys.

        Parameters
        ----------
        keys : sequence of bytes
            Of the records, in order.
        facts : bytes
            What is known of them, as of `_tiff.Task.facts`.

        Raises
        ------
        OutOfSpaceError, TargetError
            If they cannot be written. The journal must not be used any more.
        ValueError
            If the facts are not as many as the keys.
        """
        if len(facts) != len(keys) * _FACT.size:
            raise ValueError(f"{len(facts)} bytes of facts do not fit {len(keys)} keys")
        sizes = array("H", map(len, keys)).tobytes()
        self._append(b"".join([_COUNT.pack(len(keys)), facts, sizes, *keys]))

    def _append(self, entries: bytes) -> None:
        data = memoryview(_BLOCK.pack(len(entries), _checksum(entries)) + entries)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise writing_failed(self.path, error) from None
        self._note(len(entries))

    def sync(self) -> None:
        """Force all of it to the disk."""
        try:
            sync_file(self._file)
        except OSError as error:
            raise writing_failed(self.path, error) from None

    def entries(self) -> Iterator[Entry]:
        """The newest entry of every key, in the order of the keys.

        A database that had been finished may have only its digests: then nothing
        is known of the files.
        """
        runs = [run for run in reversed(self._runs) if run[1] - run[0] > _BLOCK.size]
        streams = [self._read(begin, end) for begin, end in runs]
        if os.path.exists(self._digests):
            streams.append((*entry, UNKNOWN) for entry in Digests(self._digests))
        # The usual case, a run that was not interrupted: nothing to merge.
        return streams[0] if len(streams) == 1 else _newest(streams)

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
        return entries if _checksum(entries) == checksum else None

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
        return chain.from_iterable(map(_entries, self._blocks(at, end)))

    def _blocks(self, at: int, end: int) -> Iterator[bytes]:
        while at < end:
            entries = self._block(at, end)
            if entries is None:
                raise TargetError(f"{self.path}: cannot be read any more")
            at += _BLOCK.size + len(entries)
            if entries:
                yield entries


def _checksum(entries: bytes) -> int:
    return xxh3_64_intdigest(entries, seed=_VERSION)


def _entries(block: bytes) -> Iterator[Entry]:
    (count,) = _COUNT.unpack_from(block)
    facts = _COUNT.size
    sizes = facts + count * _FACT.size
    end = sizes + 2 * count
    for size, (digest, length, mark) in zip(
        memoryview(block)[sizes:end].cast("H"), _FACT.iter_unpack(block[facts:sizes]), strict=True
    ):
        begin, end = end, end + size
        yield block[begin:end], length, digest, mark


def _newest(streams: list[Iterator[Entry]]) -> Iterator[Entry]:
    # Of entries that are equal, those of the first stream come first.
    merged = heapq.merge(*streams, key=itemgetter(0))
    for _, same in groupby(merged, key=itemgetter(0)):
        yield next(same)
