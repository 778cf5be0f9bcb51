import numpy as np
import pytest

from tf4dvar.evaluation.plots import plot_calibration, plot_error_by_time, plot_reconstructions


def labelled(axes):
    return axes.get_xlabel() and axes.get_ylabel() and axes.get_title()


def test_windows_and_densities_with_labels(windows, rng, tmp_path):
    truth = windows["truth"].values
    states = {"good": truth + rng.normal(size=truth.shape), "exact": truth}
    figure = plot_reconstructions(windows, states)
    axes = figure.get_axes()
    assert len(axes) == 9
    assert all(labelled(panel) for panel in axes)
    shown = axes[0].get_lines()
    np.testing.assert_array_equal(shown[1].get_ydata(), states["good"][0, :, 0])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["truth", "good", "exact", "observations"]
    figure.savefig(tmp_path / "figure.png")


def test_states_that_are_sure_have_bands(windows, rng):
    """Of 90 %: 1.645 deviations to each side."""
    truth = windows["truth"].values
    std = rng.uniform(0.1, 1.0, truth.shape)
    axes = plot_reconstructions(windows, {"a": truth, "b": truth}, {"b": std}).get_axes()
    (band,) = axes[4].collections
    corners = band.get_paths()[0].vertices[:, 1]
    reach = 1.6449 * std[1, :, 1]
    assert corners.max() == pytest.approx((truth[1, :, 1] + reach).max(), rel=1e-4)
    assert corners.min() == pytest.approx((truth[1, :, 1] - reach).min(), rel=1e-4)


def test_without_truth_there_are_the_windows_alone(windows):
    dataset = windows.drop_vars("truth").isel(window=slice(1))
    figure = plot_reconstructions(dataset, {"states": windows["truth"].values[:1]})
    assert len(figure.get_axes()) == 3


def test_what_has_no_labels_is_numbered(windows):
    bare = windows.drop_vars(["window", "time", "component"])
    axes = plot_reconstructions(bare, {"states": windows["truth"].values}).get_axes()
    assert [panel.get_title() for panel in axes[:4]] == [f"window 0, {i}" for i in range(3)] + [
        "window 1, 0"
    ]


@pytest.mark.parametrize(
    ("units", "unit", "square"),
    [("1", "(dimensionless)", "(dimensionless)"), ("m/s", "(m/s)", "((m/s)^2)")],
)
def test_axes_have_units(windows, rng, units, unit, square):
    windows = windows.copy(deep=True)
    windows["observations"].attrs["units"] = units
    (axes,) = plot_error_by_time(windows, {"a": np.ones(windows.sizes["time"])}).axes
    assert axes.get_xlabel() == "time in the window (dimensionless)"
    assert axes.get_ylabel() == f"mean squared error {square}"
    errors = {"a": rng.normal(size=windows["truth"].shape)}
    (axes,) = plot_calibration(windows, errors, {"a": np.ones_like(errors["a"])}).axes
    assert axes.get_xlabel() == f"estimated spread {unit}"
    assert axes.get_ylabel() == f"root mean squared error {unit}"
