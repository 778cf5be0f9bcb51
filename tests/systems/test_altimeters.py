import numpy as np
import pytest

from tf4dvar.systems.altimeters import BETWEEN_TRACKS, NADIRS, SWATH, Altimeter
from tf4dvar.systems.instruments import observed_by

POINTS, LENGTH = 64, 1e6


class Middle:
    """In place of a generator: the first tracks cross in the middle."""

    def uniform(self):
        return 0.5


def test_tracks_are_straight():
    seen = Altimeter(slope=0.4, precession=0.0).seen(2, POINTS, LENGTH, Middle())
    rows = np.arange(POINTS)
    for direction in (1, -1):
        columns = np.floor(32 + direction * 0.4 * (rows - 32) + 1e-9).astype(int)
        assert seen[:, rows, columns].all()
    assert seen.sum(-1).max() == 2


def test_tracks_move_by_their_precession():
    seen = Altimeter(slope=0.0, precession=0.05).seen(41, POINTS, LENGTH, Middle())
    # Both are vertical, and one.
    assert (seen == seen[:, :1]).all()
    columns = [np.flatnonzero(row).tolist() for row in seen[:, 0]]
    moved = 0.05 * BETWEEN_TRACKS / (LENGTH / POINTS)
    assert columns[:5] == [
        [int(32 + day * moved)] if 32 + day * moved < 64 else [] for day in range(5)
    ]
    # After twenty days they have moved by one distance, which is where the next one was.
    assert columns[:20] == columns[20:40]


def test_four_altimeters_see_a_twentieth_and_a_swath_more():
    rng = np.random.default_rng(0)
    truth = np.zeros((10, 60, POINTS, POINTS))
    shares = [
        np.isfinite(observed_by(plan, truth, LENGTH, rng)[0]).mean() for plan in (NADIRS, SWATH)
    ]
    # 207 of 4096 cells a day.
    assert shares[0] == pytest.approx(207 / 4096, rel=0.05)
    assert shares[1] > 1.5 * shares[0]


def test_a_swath_has_a_gap_in_its_middle():
    wide = Altimeter(0.0, 0.0, half_width=120e3, gap=40e3)
    for seed in range(20):
        row = wide.seen(1, POINTS, LENGTH, np.random.default_rng(seed))[0, 0]
        changes = np.abs(np.diff(row.astype(int))).sum()
        if changes == 4:
            inside = np.flatnonzero(row)
            hole = np.flatnonzero(~row[inside[0] : inside[-1]])
            assert abs(len(hole) * LENGTH / POINTS - 80e3) <= 2 * LENGTH / POINTS
            return
    raise AssertionError("No swath lies within the box alone")
