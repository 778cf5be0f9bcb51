import numpy as np
import pytest
from scipy import fft

from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.evaluation.colours import Quantity
from tf4dvar.evaluation.field_score_plots import plot_daily_scores, plot_spectral_score
from tf4dvar.evaluation.field_scores import field_scores

DAYS, GRID = 64, Grid(10 * np.arange(12.0), 10 * np.arange(96.0))
TIMES = np.arange(DAYS, dtype="m8[D]") + np.datetime64("2012-10-01", "ns")
HEIGHT = Quantity("height", "m")


@pytest.fixture
def truth(rng):
    """Noise with power at all scales, [member, day, y, x]."""
    return rng.normal(size=(2, DAYS, *GRID.shape))


def without_small(fields, smallest):
    """Fields without waves shorter in x, km."""
    kept = fft.rfftfreq(fields.shape[-1], 10.0) <= 1 / smallest
    return fft.irfft(fft.rfft(fields) * kept, fields.shape[-1])


def contour_of(panel):
    """The points of the line."""
    (line,) = (each for each in panel.collections if np.size(each.get_array()) == 1)
    return np.concatenate([path.vertices for path in line.get_paths()])


def test_the_contour_lies_where_waves_are_no_longer_resolved(truth):
    states = {f"{smallest:g}": without_small(truth, smallest) for smallest in (60.0, 120.0)}
    figure = plot_spectral_score(states, truth, GRID, TIMES)
    panels = figure.get_axes()[:2]
    for panel, smallest in zip(panels, (60.0, 120.0), strict=True):
        points = contour_of(panel)
        np.testing.assert_allclose(points[:, 0], smallest, rtol=0.15)
        # At all periods, from two days to that of the window.
        assert (points[:, 1].min(), points[:, 1].max()) == pytest.approx((2.0, DAYS))
        scores = field_scores(states[f"{smallest:g}"], truth, 1.0, 10.0)
        assert points[:, 0].min() == pytest.approx(scores.lambda_x)
        assert f"{scores.lambda_x:.3g} km, 2 days" in panel.get_title()
        assert panel.get_xlabel() == "wavelength (km)"
    assert panels[0].get_ylabel() == "period (days)"
    assert panels[0].get_xlim()[0] > panels[0].get_xlim()[1]


def test_where_nothing_or_all_is_resolved_there_is_no_contour(truth):
    figure = plot_spectral_score({"no": 0 * truth, "all": truth}, truth, GRID, TIMES)
    for panel, found in zip(figure.get_axes(), ("nothing", "resolved from 20 km"), strict=False):
        assert contour_of(panel).size == 0
        assert found in panel.get_title()


def test_degrees_stay_degrees(truth):
    grid = Grid(np.arange(12.0), np.arange(96.0), spherical=True)
    panel = plot_spectral_score({"a": 0.9 * truth}, truth, grid, np.arange(DAYS)).get_axes()[0]
    assert panel.get_xlabel() == "wavelength (degrees)"


@pytest.mark.parametrize(
    ("at", "grid", "times", "message"),
    [
        ((0, 3, 2, 1), GRID, TIMES, "1 values are unknown"),
        (None, GRID, np.delete(np.arange(DAYS + 1), 7), "Received 64 times, 1 to 2 apart"),
        (None, Grid(GRID.y, GRID.x**2), TIMES, "Received 96 columns"),
    ],
)
def test_what_has_no_spectrum_is_refused(truth, at, grid, times, message):
    if at is not None:
        truth[at] = np.nan
    with pytest.raises(InputError, match=message):
        plot_spectral_score({"a": 0 * truth}, truth, grid, times)
    alike = np.ones_like(truth)
    with pytest.raises(InputError, match="no power at some scales"):
        plot_spectral_score({"a": truth}, alike, GRID, TIMES)
    with pytest.raises(InputError, match="expected 4 or more"):
        plot_spectral_score({"a": truth[:, :3]}, np.zeros((2, 3, 12, 96)), GRID, TIMES[:3])


def test_scores_of_the_days(truth, tmp_path):
    share = np.linspace(0, 1, DAYS)
    truth[:, 5] = np.nan
    states = {"part $": share[:, None, None] * truth, "half": truth / 2}
    figure = plot_daily_scores(states, truth, HEIGHT, TIMES)
    above, below = figure.get_axes()
    part, half = (line.get_ydata() for line in above.get_lines())
    known = np.delete(np.arange(DAYS), 5)
    np.testing.assert_allclose(part[known], share[known])
    np.testing.assert_allclose(half[known], 0.5)
    assert np.isnan(part[5])
    rmse = below.get_lines()[1].get_ydata()
    np.testing.assert_allclose(rmse[9], np.sqrt(np.square(truth[:, 9]).mean()) / 2)
    assert (above.get_ylabel(), below.get_ylabel()) == ("mu", "RMSE (m)")
    figure.savefig(tmp_path / "scores.png")
    days = plot_daily_scores(states, truth, HEIGHT, np.arange(DAYS)).get_axes()[1]
    assert days.get_xlabel() == "time (days)"
