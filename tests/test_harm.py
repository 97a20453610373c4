"""The harness of the campaigns: one that does no harm is not passed over."""

import pytest

import harm
from harm import TALLY, spread, trials


@pytest.fixture(autouse=True)
def own_tally(monkeypatch):
    """What is counted here is no harm that was done."""
    monkeypatch.setattr(harm, "TRIALS", 6)
    before = TALLY.copy()
    yield
    TALLY.clear()
    TALLY.update(before)


def test_trials_go_on_until_harm_was_done():
    TALLY["done"] = 1
    made = 0
    for index, _ in trials("x", harm=["done"]):
        TALLY["done"] += index == 20
        made += 1
    assert made == TALLY["x"] == 21
    # What was counted before does not count.
    assert len(list(trials("y"))) == 6
    with pytest.raises(pytest.fail.Exception, match="z: 40 trials, and not once: done"):
        list(trials("z", harm=["done"]))


def test_every_point_is_held_once():
    points = spread("x", [1, 2, 3], list(range(10, 20)))
    assert sorted(points) == [1, 2, 3, *range(10, 20)]
    # A few trials hold some of either sort.
    assert sum(point < 10 for point in points[:4]) == 2
    assert TALLY["x: points that there are"] == 13
    assert points == spread("x", [1, 2, 3], list(range(10, 20)))
