import numpy as np
import pytest

from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.evaluation.colours import Quantity
from tf4dvar.evaluation.mapped import Maps, days_of, time_labels

GRID = Grid(np.arange(3.0), np.arange(4.0))
HEIGHT = Quantity("height", "m")
MAPS = np.zeros((2, 5, 3, 4))


def test_truth_and_observations_come_first():
    maps = Maps({"a": MAPS + 2}, MAPS + 1, MAPS, GRID, HEIGHT, np.arange(5))
    assert [(label, of.flat[0]) for label, of in maps.shown.items()] == [
        ("truth", 0),
        ("observations", 1),
        ("a", 2),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": {}}, "no states"),
        ({"states": {"truth": MAPS}}, "expected others than"),
        ({"states": {"a": MAPS[:1]}}, r"Received maps 'a' of shape \(1, 5, 3, 4\)"),
        ({"truth": MAPS[0]}, "as many members of all"),
        ({"observations": MAPS[..., 1:]}, "'observations' of shape"),
        ({"times": np.arange(4)}, "4 times and a grid"),
        ({"times": np.array([0, 1, 1, 2, 3])}, "stand there twice"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    given = {"states": {"a": MAPS}, "observations": MAPS, "truth": MAPS, "times": np.arange(5)}
    with pytest.raises(InputError, match=message):
        Maps(**given | changes, grid=GRID, quantity=HEIGHT)


def test_times_are_days_and_have_dates():
    dates = np.array(["2012-10-03", "2012-10-04T12"], "M8[ns]")
    np.testing.assert_array_equal(days_of(dates), [0.0, 1.5])
    np.testing.assert_array_equal(days_of(np.array([3, 5])), [3.0, 5.0])
    assert time_labels(dates) == ["2012-10-03T00:00:00", "2012-10-04T12:00:00"]
    assert time_labels(dates[:1]) == ["2012-10-03"]
    assert time_labels(np.array([3.0, 5.25])) == ["day 3", "day 5.25"]
