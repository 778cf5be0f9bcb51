import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.evaluation.browser import NAMES, installed, opened
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.evaluation.colours import Quantity, error_scale, state_scale
from tf4dvar.evaluation.mapped import Maps
from tf4dvar.evaluation.report import write_html

HEIGHT = Quantity("height", "m", "sea_surface_height_above_geoid")
HOSTILE = "</script><script>document.title = 'run'</script>$$x$$"
# The colours of the maps, as far from the left as there is a map however wide the labels are.
SEEN = """all("canvas").map(each => [...each.getContext("2d").getImageData(
    150, each.height / 2, 1, 1).data]).filter(pixel => pixel[3] > 0)"""


class Addresses(HTMLParser):
    """What the elements of a page would load."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset")]


@pytest.fixture
def given(rng):
    """Five days of two members on a plane, and two methods."""
    truth = rng.normal(size=(2, 5, 6, 8))
    return {
        "title": "Maps",
        "states": {"half": truth / 2, "none": 0 * truth},
        "observations": np.where(truth > 0, truth, np.nan),
        "truth": truth,
        "grid": Grid(np.arange(6.0), np.arange(8.0)),
        "quantity": HEIGHT,
        "times": np.arange("2012-10-01", "2012-10-06", dtype="M8[D]").astype("M8[ns]"),
        "scores": {"half": {"mu": 0.51234, "lambda_x": None}, "none": {"mu": 0.0, "days": 5}},
        "settings": {"methods": "half,none", "noise_variance": 4e-4},
    }


def written(tmp_path, given):
    maps = Maps(**{name: of for name, of in given.items() if name in Maps.__dataclass_fields__})
    told = [given[name] for name in ("scores", "settings")]
    write_html(tmp_path / "page.html", given["title"], maps, *told)
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_scores_and_settings_are_told(tmp_path, given):
    page = written(tmp_path, given)
    text = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    words = text.split()
    for expected in ("mu", "0.512", "lambda_x", "half,none", "0.0004", "5", "-"):
        assert expected in words
    assert "None" not in words
    assert "Member 1 of 2." in text


def test_nothing_is_asked_for_on_the_network(tmp_path, given):
    found = Addresses(written(tmp_path, given)).found
    assert len(found) == 2
    assert all(address.startswith("data:image/png;base64,") for address in found)


def test_why_a_figure_is_missing_is_told(tmp_path, given):
    given["truth"][0, 0, 0, 0] = np.nan
    page = written(tmp_path, given)
    assert len(Addresses(page).found) == 1
    assert "1 values are unknown, as on land" in page
    given |= {"truth": None, "scores": {}, "settings": {}}
    page = written(tmp_path, given)
    assert Addresses(page).found == []
    assert re.findall("<h2>(.*)</h2>", page) == ["Maps"]


@pytest.mark.long
def test_sixty_days_of_two_methods_are_below_ten_megabytes(tmp_path, given, rng):
    maps = rng.normal(size=(1, 60, 128, 128))
    times = np.datetime64("2012-10-01", "ns") + np.arange(60, dtype="m8[D]")
    grid = Grid(np.arange(128.0), np.arange(128.0))
    given |= {"states": {"a": maps / 2, "b": maps / 3}, "observations": maps, "truth": maps}
    page = written(tmp_path, given | {"times": times, "grid": grid})
    assert len(page.encode()) < 10e6
    assert "points." not in page  # Nothing of them is left out.
    assert "60 days." not in page


def test_without_bokeh_it_is_told_what_to_install(tmp_path, given, monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh.embed", None)
    with pytest.raises(InputError, match=r"bokeh.* pip install tf4dvar\[maps\]"):
        written(tmp_path, given)
    assert not any(tmp_path.iterdir())


@pytest.mark.long
def test_the_slider_moves_the_maps_in_a_browser(tmp_path, given):
    if installed() is None:
        pytest.skip(f"No browser: none of {', '.join(NAMES)}; Debian has a package chromium.")
    days = np.arange(5.0)[:, None, None] * np.ones((2, 1, 6, 8))
    # What comes from files is text, and no more.
    given |= {"truth": days, "observations": days, "states": {HOSTILE: days[:, ::-1]}}
    given |= {"title": HOSTILE, "scores": {HOSTILE: {HOSTILE: HOSTILE}}}
    given |= {"settings": {HOSTILE: HOSTILE}, "quantity": HEIGHT._replace(name=HOSTILE)}
    page = written(tmp_path, given)
    assert "<script>document" not in page
    assert len(page) < 3e6  # Formulas would bring what sets them, another 1.8 MB.
    states = state_scale(HEIGHT, days)
    errors = error_scale([days[:, ::-1] - days], states)

    def colours(day, other):
        """Of truth, observations, the method, whose days are in the other order, and its error."""
        shown = (day, states), (day, states), (other, states), (other - day, errors)
        shares = [(value - scale.low) / (scale.high - scale.low) for value, scale in shown]
        return [
            np.array(scale.colours(share)) * 255
            for share, (_, scale) in zip(shares, shown, strict=True)
        ]

    with opened(installed(), tmp_path / "page.html", tmp_path / "profile") as page:
        page.until('all(".noUi-handle").length && all("canvas").length == 8')
        assert page.value('all(".bk-slider-value")[0].textContent') == "2012-10-01"
        np.testing.assert_allclose(page.value(SEEN), colours(0, 4), atol=4)
        page.value('all(".noUi-handle")[0].focus()')
        page.press("ArrowRight")
        page.press("ArrowRight")
        page.until('all(".bk-slider-value")[0].textContent == "2012-10-03"')
        np.testing.assert_allclose(page.value(SEEN), colours(2, 2), atol=4)
        assert page.value("document.title") == HOSTILE
        addresses = {address.split(":")[0] for address in page.asked}
        assert addresses <= {"file", "data", "blob"}
