"""The quick proof of a database's structure never says yes where lmdb's verifier says no."""

import random
import shutil
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import problems
from rs_tensor_encoder.storage.environment import DATA, can_verify, open_environment
from rs_tensor_encoder.storage.structure import proved

needs_verifier = pytest.mark.skipif(
    not can_verify(), reason="lmdb before 3.0 has no verifier to compare with"
)


def write(directory, commits, **options):
    """Make a database by commits of (key, length or None to remove it)."""
    with open_environment(str(directory), map_size=1 << 28, sync=False, **options) as env:
        for commit in commits:
            with env.begin(write=True) as txn:
                for key, length in commit:
                    if length is None:
                        txn.delete(key)
                    else:
                        txn.put(key, bytes(length))
    return directory / DATA


def many(seed):
    """Commits that make a tree of several levels, large and small values, and free pages."""
    chosen = random.Random(seed)
    keys = [
        f"patch {chosen.randrange(10**30):0{chosen.randrange(1, 90)}}".encode() for _ in "x" * 400
    ]
    sizes = [0, 1, 90, 1000, 2000, 2020, 2040, 4080, 4081, 9000, 30000]
    commits = [
        [(key, chosen.choice(sizes)) for key in keys[at : at + 40]] for at in range(0, 400, 40)
    ]
    return [*commits, [(key, None) for key in keys[::3]], [(keys[0], 70000), (keys[3], 5)]]


keys = st.binary(min_size=1, max_size=120)
lengths = st.one_of(st.none(), st.integers(0, 9000))


@needs_verifier
@settings(max_examples=60)
@given(commits=st.lists(st.lists(st.tuples(keys, lengths), max_size=30), max_size=6))
def test_what_is_sound_is_proved(tmp_path_factory, commits):
    path = write(tmp_path_factory.mktemp("database"), commits)
    # LMDB 0.9 miscounts when a large value is replaced within a commit.
    assert proved(str(path)) == (problems(path) == [])


def test_large_trees_and_lists_of_free_pages_are_proved(tmp_path):
    commits = many(0)
    # More free pages than a page can list.
    commits += [[(b"large", 9_000_000)], [(b"large", None)], [(b"z", 1)], [(b"y", 1)]]
    assert proved(str(write(tmp_path, commits)))


def long_free(directory):
    """A database whose free pages are listed in a tree of several pages: a reader held them."""
    path = write(directory, [[(b"a", 1)]])
    with open_environment(str(directory), map_size=1 << 28, sync=False) as env, env.begin():
        for number in range(700):
            with env.begin(write=True) as txn:
                txn.put(b"%d" % (number % 90), bytes(number))
    return path


def free_root(data):
    """Where the page of the root of the free pages begins."""
    metas = [struct.unpack_from("<40xQ48xQQ", data, at + 40) for at in (0, 4096)]
    root, _, _ = max(metas, key=lambda meta: meta[2])
    return root * 4096


@needs_verifier
def test_large_trees_of_free_pages_are_held_to_their_order(tmp_path):
    path = long_free(tmp_path)
    data = bytearray(path.read_bytes())
    assert problems(path) == []
    assert proved(str(path))
    root = free_root(data)
    _, _, flags, lower, _ = struct.unpack_from("<QHHHH", data, root)
    nodes = struct.unpack_from(f"<{(lower - 16) // 2}H", data, root + 16)
    assert flags == 1
    assert len(nodes) > 4
    # Ascending as bytes, descending as the numbers that they are.
    for number, node in enumerate(nodes[1:]):
        data[root + node + 8 : root + node + 16] = struct.pack(
            ">Q", (number + 1) << 56 | 9 - number
        )
    path.write_bytes(data)
    assert problems(path) != []
    assert not proved(str(path))


@needs_verifier
def test_no_transaction_has_the_number_zero(tmp_path):
    path = write(tmp_path, many(0))
    data = bytearray(path.read_bytes())
    root = free_root(data)
    (node,) = struct.unpack_from("<H", data, root + 16)
    data[root + node + 8 : root + node + 16] = bytes(8)
    path.write_bytes(data)
    assert problems(path) != []
    assert not proved(str(path))


def test_other_kinds_of_database_are_not_proved(tmp_path):
    path = write(tmp_path, [[(b"a", 5)]])
    assert proved(str(path))
    with (
        open_environment(str(tmp_path), max_dbs=1) as env,
        env.begin(write=True) as txn,
    ):
        txn.put(b"k", b"v", db=env.open_db(b"named", txn, dupsort=True))
    assert not proved(str(path))


@needs_verifier
def test_nothing_damaged_is_proved(tmp_path):
    chosen = random.Random(1)
    found = {True: 0, False: 0}
    for seed in range(3):
        path = write(tmp_path / str(seed), many(seed))
        assert proved(str(path))
        whole = path.read_bytes()
        pages = len(whole) // 4096
        # All that is not within a value: headers and nodes.
        places = [page * 4096 for page in range(pages) if whole[page * 4096 : page * 4096 + 8]
                  == struct.pack("<Q", page)]  # fmt: skip
        for _ in range(300):
            data = bytearray(whole)
            page = chosen.choice(places[:2] + places)
            span = chosen.choice([16, 16 + 160, 4096])
            at = page + chosen.randrange(span)
            width = chosen.choice([1, 1, 2, 4, 8])
            number = chosen.choice(
                [chosen.randrange(256**width), chosen.randrange(pages), 0, 256**width - 1]
            )
            data[at : at + width] = number.to_bytes(8, "little")[:width]
            del data[len(whole) - chosen.choice([0] * 30 + [1, 4096, 9000]) :]
            path.write_bytes(data)
            sound = problems(path) == []
            if proved(str(path)):
                assert sound, (seed, page, at, width, number)
            found[sound] += 1
        shutil.rmtree(tmp_path / str(seed))
    assert min(found.values()) > 120


@pytest.mark.parametrize("size", [0, 100, 4096, 8191])
def test_what_is_cut_short_is_not_proved(tmp_path, size):
    path = write(tmp_path, [[(b"a", 5000)]])
    with path.open("r+b") as file:
        file.truncate(size)
    assert not proved(str(path))
