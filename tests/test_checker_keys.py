"""The checker counts: wherever a record is missing or too much, it is named."""

import lmdb
import pytest

from oracles import records
from rs_tensor_encoder.checking.against_sources import check
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.sources.plan import Plan

PLACES = {
    "first": slice(0, 1),
    "first ones": slice(0, 4),
    "middle": slice(5, 7),
    "last": slice(-1, None),
    "last ones": slice(-4, None),
    "every other": slice(0, None, 2),
    "all": slice(None),
}


@pytest.fixture
def encoded(bigearthnet, tmp_path):
    encode(bigearthnet, str(tmp_path / "out"))
    return bigearthnet, tmp_path / "out"


@pytest.mark.parametrize("place", PLACES)
def test_missing_records_are_named_wherever_they_are(encoded, place):
    plan, target = encoded
    gone = [patch.key for patch in plan.patches][PLACES[place]]
    with lmdb.open(str(target)) as env, env.begin(write=True) as txn:
        for key in gone:
            assert txn.delete(key)
    report = check(plan, str(target), workers=1)
    assert [found.patch.encode() for found in report.differences] == gone
    assert all("no such record" in found.reason for found in report.differences)
    assert report.checked == len(plan.patches) - len(gone)
    # Also where pixels of a few are compared only.
    report = check(plan, str(target), workers=1, sample=1)
    assert [found.patch.encode() for found in report.differences] == gone


@pytest.mark.parametrize("place", PLACES)
def test_records_that_no_source_explains_are_named_wherever_they_are(encoded, place):
    plan, target = encoded
    extra = [patch.key for patch in plan.patches][PLACES[place]]
    fewer = Plan(plan.sources, [patch for patch in plan.patches if patch.key not in extra])
    report = check(fewer, str(target), workers=1)
    assert [found.patch.encode() for found in report.differences] == extra
    assert all("no source explains" in found.reason for found in report.differences)
    assert report.checked == len(fewer.patches)


@pytest.mark.parametrize("place", PLACES)
def test_digests_know_of_records_wherever_they_are_missing(encoded, run, place):
    plan, target = encoded
    gone = [patch.key for patch in plan.patches][PLACES[place]]
    with lmdb.open(str(target)) as env, env.begin(write=True) as txn:
        for key in gone:
            assert txn.delete(key)
    outcome = run("check", "--digests", target, "-v")
    assert outcome.code == 1
    for key in gone:
        assert f"{key.decode()}: no such record" in outcome.err
    assert outcome.err.count("no such record") == len(gone)


@pytest.mark.parametrize("count", [1, 3, 4, 6, 9, 12])
def test_worker_processes_compare_the_last_patches_too(encoded, count):
    """They are given several at a time, and of the last ones as many as are left."""
    plan, target = encoded
    fewer = Plan(plan.sources, plan.patches[:count])
    last = fewer.patches[-1].key
    with lmdb.open(str(target)) as env, env.begin(write=True) as txn:
        value = txn.get(last)
        txn.put(last, value[:-1] + bytes([value[-1] ^ 1]))
        for patch in plan.patches[count:]:
            assert txn.delete(patch.key)
    report = check(fewer, str(target), workers=2)
    assert [found.patch.encode() for found in report.differences] == [last]
    assert (report.checked, report.interrupted) == (count, False)


def test_sampled_patches_are_compared_with_their_own_records(encoded):
    """A record exchanged for its neighbour's differs, whichever patches are chosen."""
    plan, target = encoded
    before = records(target)
    keys = [patch.key for patch in plan.patches]
    for one, other in ((0, 1), (10, 11)):
        with lmdb.open(str(target)) as env, env.begin(write=True) as txn:
            txn.put(keys[one], before[keys[other]])
        report = check(plan, str(target), workers=1)
        assert {found.patch.encode() for found in report.differences} == {keys[one]}
        found = set()
        for seed in range(40):
            part = check(plan, str(target), workers=1, sample=3, seed=seed)
            assert part.checked == 3
            found |= {difference.patch.encode() for difference in part.differences}
        assert found == {keys[one]}
        with lmdb.open(str(target)) as env, env.begin(write=True) as txn:
            txn.put(keys[one], before[keys[one]])
