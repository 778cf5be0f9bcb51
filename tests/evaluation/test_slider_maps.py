import numpy as np
import pytest
from bokeh.models import CategoricalSlider, ColorBar, CustomJS, GlyphRenderer, Plot
from matplotlib.colors import to_hex

from tf4dvar.data.grid import Grid
from tf4dvar.evaluation import slider_maps as module
from tf4dvar.evaluation.colours import LAND, UNKNOWN, Quantity, error_scale, state_scale
from tf4dvar.evaluation.mapped import Maps
from tf4dvar.evaluation.slider_maps import slider_maps

AT_LAND = np.zeros((6, 8), bool)
AT_LAND[:2, :3] = True
GRID = Grid(np.arange(36.0, 42.0), np.arange(8.0), spherical=True, land=AT_LAND)
HEIGHT = Quantity("height", "m", "sea_surface_height_above_geoid")
TIMES = np.arange("2012-10-01", "2012-10-06", dtype="M8[D]").astype("M8[ns]")


@pytest.fixture
def truth(rng):
    return rng.normal(size=(2, 5, 6, 8))


def panels(layout):
    """Of each panel by its title the bytes of its maps, their colours, and the whole."""
    found = {}
    for plot in layout.select({"type": Plot}):
        (renderer,) = plot.select({"type": GlyphRenderer})
        glyph = renderer.glyph
        maps = np.stack(renderer.data_source.data[glyph.image])
        found[plot.title.text.text.strip()] = maps, glyph.color_mapper.palette, plot
    return found


def colours(codes, palette):
    return np.array(palette)[codes]


def test_all_days_of_all_maps_are_there_in_their_colours(truth):
    observations = np.where(truth > 0, truth, np.nan)
    states = {"half": truth / 2}
    maps = slider_maps(Maps(states, observations, truth, GRID, HEIGHT, TIMES, member=1))
    scale = state_scale(HEIGHT, truth)
    errors = error_scale([truth / 2], scale)
    expected = {
        "truth": (truth, scale),
        "observations": (observations, scale),
        "half": (truth / 2, scale),
        "error of half": (-truth / 2, errors),
    }
    shown = panels(maps.layout)
    assert set(shown) == set(expected)
    for title, (values, its_scale) in expected.items():
        codes, palette, _ = shown[title]
        assert codes.dtype == np.uint8
        seen = colours(codes, palette)
        assert (seen[:, AT_LAND] == to_hex(LAND)).all()
        unknown = np.isnan(values[1]) & ~AT_LAND
        assert (seen[unknown] == to_hex(UNKNOWN)).all()
        known = np.isfinite(values[1]) & ~AT_LAND
        share = (values[1][known] - its_scale.low) / (its_scale.high - its_scale.low)
        found = (codes[known] - 2.0) / 253
        np.testing.assert_allclose(found, np.clip(share, 0, 1), atol=0.51 / 253)
        assert palette[2] == to_hex(its_scale.colours(0.0))
        assert palette[255] == to_hex(its_scale.colours(1.0))


def test_the_bars_tell_the_scales(truth):
    layout = slider_maps(Maps({"half": truth / 2}, truth, truth, GRID, HEIGHT, TIMES)).layout
    bars = {bar.title.text: bar.color_mapper for bar in layout.select({"type": ColorBar})}
    scale = state_scale(HEIGHT, truth)
    assert set(bars) == {"height (m)", "error (m)"}
    assert (bars["height (m)"].low, bars["height (m)"].high) == (scale.low, scale.high)
    assert bars["error (m)"].low == -bars["error (m)"].high


def test_the_slider_has_the_dates(truth):
    maps = slider_maps(Maps({"half": truth / 2}, truth, None, GRID, HEIGHT, TIMES))
    (slider,) = maps.layout.select({"type": CategoricalSlider})
    assert list(slider.categories) == [f"2012-10-0{day}" for day in range(1, 6)]
    assert slider.value == "2012-10-01"
    (choose,) = slider.js_property_callbacks["change:value"]
    assert isinstance(choose, CustomJS)
    assert set(panels(maps.layout)) == {"observations", "half"}


@pytest.mark.parametrize(
    ("grid", "height"),
    [
        (Grid(np.arange(6.0), np.arange(8.0)), 6 / 8),
        (GRID, 6 / 8 / np.cos(np.radians(38.5))),
        (Grid(np.arange(6.0) * 100, np.arange(8.0)), 600 / 8),
    ],
)
def test_the_frames_have_the_shape_of_the_map(truth, grid, height):
    layout = slider_maps(Maps({"half": truth}, truth, truth, grid, HEIGHT, TIMES)).layout
    for _, _, plot in panels(layout).values():
        assert plot.frame_height <= module.HEIGHT
        assert plot.frame_height / plot.frame_width == pytest.approx(height, rel=0.1)


def test_what_no_page_can_hold_is_thinned_evenly(truth, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 4 * 6 * 8 * 2)
    maps = slider_maps(Maps({"half": truth}, truth, truth, GRID, HEIGHT, TIMES))
    np.testing.assert_array_equal(maps.days, [0, 3])
    (slider,) = maps.layout.select({"type": CategoricalSlider})
    assert list(slider.categories) == ["2012-10-01", "2012-10-04"]
    codes, _, _ = panels(maps.layout)["truth"]
    assert codes.shape == (2, 6, 8)
    wide = Grid(np.arange(2.0), np.arange(1000.0))
    zero = np.zeros((1, 5, 2, 1000))
    maps = slider_maps(Maps({"a": zero}, zero, None, wide, HEIGHT, TIMES))
    assert maps.points == (2, 256)


def test_long_labels_have_lines_as_wide_as_a_map(truth):
    name = "a method with a long name, and with some settings of it"
    quantity = Quantity(name, "m")
    layout = slider_maps(Maps({name: truth}, truth, None, GRID, quantity, TIMES)).layout
    titles = [plot.title.text.text for plot in layout.select({"type": Plot})]
    assert len({len(title.splitlines()) for title in titles}) == 1
    bar = layout.select_one({"type": ColorBar}).title.text
    for text in (*panels(layout), bar):
        assert max(map(len, text.splitlines())) <= 26
    assert bar.split() == quantity.label.split()
