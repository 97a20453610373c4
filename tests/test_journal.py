"""What a run has written so far: whole up to the place where it was torn."""

import os
import struct
from itertools import pairwise

import pytest
from xxhash import xxh3_64_intdigest

from rs_tensor_encoder.errors import OutOfSpaceError
from rs_tensor_encoder.storage import digest_file
from rs_tensor_encoder.storage.journal import NAME, UNKNOWN, Journal


def note(journal, text, mark):
    """Add the entries of one commit: a key per letter."""
    fact = struct.pack("<16sQQ", digest_file.digest_of(b"abcd"), 4, mark)
    journal.append([letter.encode() for letter in text], fact * len(text))


def found(directory):
    with Journal(str(directory)) as journal:
        return {key.decode(): mark for key, _, _, mark in journal.entries()}


def test_entries_come_sorted_and_the_newest_counts(tmp_path):
    runs = ["b", "dfh"], ["a", "ceg"], ["fg"]
    for mark, commits in enumerate(runs, 1):
        with Journal(str(tmp_path)) as journal:
            for commit in commits:
                note(journal, commit, mark)
    expected = {"a": 2, "b": 1, "c": 2, "d": 1, "e": 2, "f": 3, "g": 3, "h": 1}
    assert found(tmp_path) == expected
    assert list(found(tmp_path)) == sorted(expected)


def test_an_entry_says_what_the_value_is(tmp_path):
    digest = digest_file.digest_of(b"cdef")
    facts = digest + struct.pack("<QQ", 4, 9) + bytes(16) + struct.pack("<QQ", 2**40, 2**64 - 1)
    with Journal(str(tmp_path)) as journal:
        journal.append([b"a", b"c" * 511], facts)
        assert list(journal.entries()) == [
            (b"a", 4, digest, 9),
            (b"c" * 511, 2**40, bytes(16), 2**64 - 1),
        ]


def test_what_is_torn_is_cut_off(tmp_path):
    with Journal(str(tmp_path)) as journal:
        ends = [(os.path.getsize(journal.path), "")]
        for commit, text in (("ab", "ab"), ("c", "abc"), ("def", "abcdef")):
            note(journal, commit, 1)
            ends.append((os.path.getsize(journal.path), text))
    data = (tmp_path / NAME).read_bytes()
    assert len(data) == ends[-1][0]
    for (end, text), (following, _) in pairwise([*ends, (len(data) + 1, "")]):
        for cut in range(end, following):
            (tmp_path / NAME).write_bytes(data[:cut])
            assert "".join(found(tmp_path)) == text
            # What comes now is behind what was whole.
            with Journal(str(tmp_path)) as journal:
                note(journal, "x", 2)
            assert found(tmp_path) == dict.fromkeys(text, 1) | {"x": 2}


def test_a_flipped_bit_is_never_believed(tmp_path):
    with Journal(str(tmp_path)) as journal:
        note(journal, "ab", 1)
        note(journal, "c", 1)
    data = (tmp_path / NAME).read_bytes()
    for at in range(len(data)):
        (tmp_path / NAME).write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        assert found(tmp_path).items() <= {"a": 1, "b": 1, "c": 1}.items()
    (tmp_path / NAME).write_bytes(data + bytes(500))
    assert "".join(found(tmp_path)) == "abc"


def test_facts_are_as_many_as_keys(tmp_path):
    with Journal(str(tmp_path)) as journal:
        with pytest.raises(ValueError, match="do not fit 3 keys"):
            journal.append([b"a", b"b", b"c"], bytes(64))
        journal.append([], b"")
        assert list(journal.entries()) == []


def test_what_an_older_build_has_written_is_not_believed(tmp_path):
    """Its blocks had checksums without a seed, and entries otherwise laid out."""
    entries = struct.pack("<16sQQH", bytes(16), 4, 9, 1) + b"a"
    data = b"".join(
        struct.pack("<IQ", len(block), xxh3_64_intdigest(block)) + block for block in (b"", entries)
    )
    (tmp_path / NAME).write_bytes(data)
    assert found(tmp_path) == {}


def test_digests_stand_in_for_a_journal(tmp_path):
    entries = [digest_file.Entry(key, 1, bytes(16)) for key in (b"a", b"b")]
    digest_file.write(str(tmp_path / digest_file.NAME), entries, 2)
    assert found(tmp_path) == {"a": UNKNOWN, "b": UNKNOWN}
    with Journal(str(tmp_path)) as journal:
        note(journal, "bc", 5)
    assert found(tmp_path) == {"a": UNKNOWN, "b": 5, "c": 5}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk(tmp_path):
    with Journal(str(tmp_path)) as journal:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, journal._file)
        os.close(full)
        with pytest.raises(OutOfSpaceError, match="make room"):
            note(journal, "a", 1)
