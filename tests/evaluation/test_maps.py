import numpy as np
import pytest
from matplotlib.colors import to_rgba

from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.evaluation.colours import LAND, Quantity
from tf4dvar.evaluation.mapped import Maps
from tf4dvar.evaluation.maps import plot_filled, plot_maps

LATITUDES, LONGITUDES = np.arange(36.0, 42.0), np.arange(-6.0, 2.0)
AT_LAND = np.zeros((6, 8), bool)
AT_LAND[:2, :3] = True
GRID = Grid(LATITUDES, LONGITUDES, spherical=True, land=AT_LAND)
HEIGHT = Quantity("height", "m", "sea_surface_height_above_geoid")
TIMES = np.arange("2012-10-01", "2012-10-06", dtype="M8[D]").astype("M8[ns]")


@pytest.fixture
def maps(rng):
    """Truth, observations and two methods of two members; on land there is nothing."""
    truth = np.where(AT_LAND, np.nan, rng.normal(size=(2, 5, 6, 8)))
    observations = np.where(rng.random(truth.shape) < 0.3, truth, np.nan)
    return truth, observations, {"good": 0.9 * truth, "bad": 0.1 * truth}


def panels(figure):
    """The panels by title; the bars of colours have none."""
    return {axes.get_title(): axes for axes in figure.get_axes() if axes.get_title()}


def field(panel):
    """The picture of the field, drawn last, over the land."""
    return panel.get_images()[-1]


def test_each_panel_shows_its_map_of_the_day(maps):
    truth, observations, states = maps
    figure = plot_maps(Maps(states, observations, truth, GRID, HEIGHT, TIMES, member=1), day=2)
    expected = {
        "truth": truth,
        "observations": observations,
        "good": states["good"],
        "bad": states["bad"],
        "error of good": states["good"] - truth,
        "error of bad": states["bad"] - truth,
    }
    shown = panels(figure)
    assert list(shown) == list(expected)
    assert figure.get_suptitle() == "2012-10-03"
    for title, values in expected.items():
        image = field(shown[title])
        np.testing.assert_array_equal(image.get_array().filled(np.nan), values[1, 2])
        assert image.origin == "lower"
        assert image.get_extent() == [-6.5, 1.5, 35.5, 41.5]
        assert shown[title].get_aspect() == pytest.approx(1 / np.cos(np.radians(38.5)))
    assert figure.get_supxlabel() == "longitude (degrees east)"
    assert figure.get_supylabel() == "latitude (degrees north)"


def test_states_share_a_scale_and_errors_another(maps):
    truth, observations, states = maps
    figure = plot_maps(Maps(states, observations, truth, GRID, HEIGHT, TIMES))
    shown = panels(figure)
    limits = {title: field(panel).get_clim() for title, panel in shown.items()}
    of_states = {limits[title] for title in ("truth", "observations", *states)}
    of_errors = {limits[f"error of {title}"] for title in states}
    assert len(of_states) == len(of_errors) == 1
    assert of_states != of_errors
    for low, high in of_errors:
        assert low == -high
    bars = [axes.get_ylabel() for axes in figure.get_axes() if not axes.get_title()]
    assert bars == ["height (m)", "error (m)"]
    other_day = panels(plot_maps(Maps(states, observations, truth, GRID, HEIGHT, TIMES), day=0))
    assert field(other_day["truth"]).get_clim() in of_states


def colour_at(panel, row, column):
    """What is seen of a cell, of the pictures over each other and the ground."""
    colour = np.array(panel.get_facecolor())
    for image in panel.get_images():
        over = image.to_rgba(image.get_array())[row, column]
        colour = np.where(over[3] > 0, over, colour)
    return tuple(colour)


def test_land_and_what_is_unknown_are_two_greys(maps):
    truth, observations, states = maps
    states["good"][..., AT_LAND] = 3.0  # What a method says of land is not shown.
    shown = panels(plot_maps(Maps(states, observations, truth, GRID, HEIGHT, TIMES), day=1))
    for panel in shown.values():
        assert {colour_at(panel, row, column) for row, column in np.argwhere(AT_LAND)} == {
            to_rgba(LAND)
        }
    seen = shown["observations"]
    gaps = np.argwhere(np.isnan(observations[0, 1]) & ~AT_LAND)
    (unknown,) = {colour_at(seen, *cell) for cell in gaps}
    assert unknown != to_rgba(LAND)
    known = np.argwhere(~np.isnan(observations[0, 1]))
    assert unknown not in {colour_at(seen, *cell) for cell in known}


def test_without_truth_there_are_no_errors(maps):
    _, observations, states = maps
    figure = plot_maps(Maps(states, observations, None, GRID, HEIGHT, TIMES))
    assert list(panels(figure)) == ["observations", "good", "bad"]


def test_on_a_plane_a_kilometre_is_as_long_in_x_as_in_y(maps, tmp_path):
    truth, observations, states = maps
    grid = Grid(10 * np.arange(6.0), 10 * np.arange(8.0))
    figure = plot_maps(Maps(states, observations, truth, grid, HEIGHT, np.arange(5.0)))
    assert {panel.get_aspect() for panel in panels(figure).values()} == {1.0}
    assert figure.get_supxlabel() == "x (km)"
    figure.savefig(tmp_path / "maps.png")
    for panel in panels(figure).values():
        box = panel.get_window_extent()
        assert box.width / box.height == pytest.approx(8 / 6, rel=0.01)


def test_labels_do_not_lie_over_each_other(maps, tmp_path):
    truth, observations, states = maps
    name = "a method with a long name, and with some settings of it"
    states = {name: states["good"], f"{name} too": states["bad"]}
    figure = plot_maps(Maps(states, observations, truth, GRID, HEIGHT, TIMES))
    figure.savefig(tmp_path / "maps.png")
    boxes = [axes.title.get_window_extent() for axes in figure.get_axes() if axes.get_title()]
    boxes += [axes.yaxis.label.get_window_extent() for axes in figure.get_axes()]
    boxes = [box for box in boxes if box.width]
    assert len(boxes) == 8  # Six maps and two bars.
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])


@pytest.mark.parametrize("name", ["a$b$", r"$\nothing$", "$", "<b>"])
def test_a_name_is_no_formula(maps, tmp_path, name):
    truth, observations, states = maps
    quantity = Quantity(name, name)
    figure = plot_maps(Maps({name: states["good"]}, observations, truth, GRID, quantity, TIMES))
    figure.savefig(tmp_path / "maps.png")
    (title,) = [axes.title for axes in figure.get_axes() if "error of" in axes.get_title()]
    assert title._preprocess_math(title.get_text()) == (f"error of {name}", False)


def test_what_is_filled_is_beside_what_was(maps):
    truth, _, _ = maps
    original = truth[0, 0].copy()
    original[5, 5] = np.nan  # Under a cloud of its own.
    clouded = original.copy()
    clouded[3:5, 2:6] = np.nan
    filled = np.where(np.isnan(clouded), 0.5, clouded)
    figure = plot_filled(original, clouded, filled, GRID, HEIGHT)
    shown = panels(figure)
    assert list(shown) == ["original", "with added clouds", "filled", "error"]
    limits = [field(panel).get_clim() for panel in shown.values()]
    assert len(set(limits[:3])) == 1
    assert limits[3][0] == -limits[3][1]
    error = field(shown["error"]).get_array()
    assert error.mask[AT_LAND].all()
    assert error.mask[5, 5]
    np.testing.assert_array_equal(error[3:5, 2:6], 0.5 - original[3:5, 2:6])
    assert field(shown["filled"]).get_array()[5, 5] == 0.5
    with pytest.raises(InputError, match="Received a map 'filled' of shape"):
        plot_filled(original, clouded, filled[1:], GRID, HEIGHT)
