import numpy as np
import pytest

from tf4dvar.data import protocol_plan, simulate_dataset
from tf4dvar.errors import InputError
from tf4dvar.evaluation.metrics import r_score
from tf4dvar.experiments import EXPERIMENTS, true_flow
from tf4dvar.layers import GENN, ConvCell, GradientSolver
from tf4dvar.models import FourDVarNet
from tf4dvar.paper.descent import descent_run
from tf4dvar.paper.figures import (
    Iterates,
    best_of_each_setting,
    example_windows,
    iterates,
    make_figures,
    pathways_and_densities,
    state_maps,
)
from tf4dvar.systems import Lorenz96


def made_up(name, dataset, rng, scale):
    """A row whose states come closer to the truth."""
    truth = dataset["truth"].values
    errors = scale * np.array([4.0, 2.0, 1.0])
    states = truth + np.sqrt(errors[-1]) * rng.normal(size=truth.shape)
    return Iterates(EXPERIMENTS[name], states, errors, errors / 10)


def labelled(panel):
    """Also with the unit, where it is a quantity that has one."""
    with_unit = "component" not in panel.get_ylabel() and "density" not in panel.get_ylabel()
    assert panel.get_title()
    assert "(dimensionless)" in panel.get_xlabel()
    assert panel.get_ylabel()
    return "(dimensionless)" in panel.get_ylabel() or not with_unit


def legends_of(figure):
    """The labels of all legends that do not belong to one panel."""
    parts = [figure, *figure.subfigs, *(part for one in figure.subfigs for part in one.subfigs)]
    return [
        [text.get_text() for text in legend.get_texts()]
        for part in parts
        for legend in part.legends
    ]


def panels_of(figure):
    """Every panel but the bars of colours, in the figure's parts too."""
    return [panel for panel in figure.axes if panel.get_label() != "<colorbar>"]


@pytest.fixture
def lorenz96():
    return simulate_dataset(Lorenz96(), protocol_plan("l96"), 2, steps=16)


@pytest.mark.long
def test_lorenz63_figures_are_labelled(windows, rng, tmp_path):
    rows = [
        made_up("l63-unsup-rk4-lstm", windows, rng, 3.0),
        made_up("l63-sup-genn-conv", windows, rng, 2.0),
        made_up("l63-sup-genn-lstm", windows, rng, 1.0),
    ]
    second = pathways_and_densities(windows, rows)
    panels = panels_of(second)
    assert len(panels) == 4
    assert all(labelled(panel) for panel in panels)
    lines = {line.get_label(): line for line in panels[0].get_lines()}
    for row in rows:
        np.testing.assert_array_equal(lines[row.experiment.name].get_ydata(), row.errors)
    # A row has the same colour in every panel.
    best = best_of_each_setting(rows)
    assert [row.experiment.name for row in best] == ["l63-unsup-rk4-lstm", "l63-sup-genn-lstm"]
    density = panels[1].get_lines()[1]
    assert density.get_color() == lines["l63-sup-genn-lstm"].get_color()

    names, chosen = ([row.experiment.name for row in group] for group in (rows, best))
    assert legends_of(second) == [[*names, "cost of the truth"], chosen]

    third = example_windows(windows, rows)
    assert legends_of(third) == [["truth", *chosen, "observations"]]
    assert len(panels_of(third)) == 9
    assert all(labelled(panel) for panel in panels_of(third))
    for figure in (second, third):
        figure.savefig(tmp_path / "figure.png")


def test_lorenz96_maps_share_their_scales(lorenz96, rng, tmp_path):
    rows = [
        made_up("l96-unsup-rk4-conv", lorenz96, rng, 2.0),
        made_up("l96-sup-genn-lstm", lorenz96, rng, 1.0),
    ]
    figure = state_maps(lorenz96, rows)
    panels = panels_of(figure)
    assert len(panels) == 2 * 3 + 2
    assert all(labelled(panel) for panel in panels)
    names = [row.experiment.name for row in rows]
    assert legends_of(figure) == [[*names, "cost of the truth"], names]
    states, errors = panels[:3], panels[4:6]
    for group in (states, errors):
        assert len({panel.collections[0].get_clim() for panel in group}) == 1
    figure.savefig(tmp_path / "figure.png")


@pytest.mark.long
def test_iterates_end_in_the_reconstruction(windows, tmp_path):
    model = FourDVarNet(GENN(units=4), GradientSolver(ConvCell((2, 2)), iterations=3))
    model.adapt(windows["observations"].values)
    run = tmp_path / "l63-sup-genn-conv-C"
    run.mkdir()
    model.save(run / "model.keras")
    row = iterates(EXPERIMENTS["l63-sup-genn-conv"], run, windows)
    states = model.predict(windows["observations"].values.astype("float32"), verbose=0)
    np.testing.assert_allclose(row.states, states, rtol=1e-3, atol=1e-3)
    assert row.errors.shape == row.costs.shape == (4,)
    expected = r_score(states, windows["truth"].values).mean()
    np.testing.assert_allclose(row.errors[-1], expected, rtol=1e-3)

    # Without scores it is not finished; the descent is.
    with pytest.raises(InputError, match="no finished row"):
        make_figures("l63", tmp_path, tmp_path / "out", windows=4)
    (run / "scores.json").write_text("{}")
    descent_run(tmp_path / "l63-none-rk4-fsgd-C", "l63", windows.isel(window=slice(2)), 20)
    files = make_figures("l63", tmp_path, tmp_path / "out", windows=4)
    assert [file.name for file in files] == ["figure2-l63-C.png", "figure3-l63-C.png"]
    assert all(file.stat().st_size > 10_000 for file in files)


@pytest.mark.long
def test_the_figure_of_lorenz96_is_drawn_from_its_runs(tmp_path):
    model = FourDVarNet(true_flow("l96"), GradientSolver(ConvCell((2, 2)), iterations=2))
    model.adapt(simulate_dataset(Lorenz96(), protocol_plan("l96"), 2)["observations"].values)
    run = tmp_path / "l96-sup-rk4-conv-T"
    run.mkdir()
    model.save(run / "model.keras")
    (run / "scores.json").write_text("{}")
    (file,) = make_figures("l96", tmp_path, tmp_path / "out", windows=1)
    assert file.name == "figure4-l96-T.png"
    assert file.stat().st_size > 10_000


def test_a_descent_is_followed_along_its_steps(windows, tmp_path):
    descent = descent_run(tmp_path, "l63", windows.isel(window=slice(3)), 2500)
    row = iterates(EXPERIMENTS["l63-none-rk4-fsgd"], tmp_path, windows.isel(window=slice(2)))
    assert row.states.shape[0] == 2
    assert row.errors.shape == row.costs.shape == (4,)  # 0, 1000, 2000 and 2500 steps
    np.testing.assert_allclose(row.states, descent.states[:2])
    np.testing.assert_allclose(
        row.errors[-1], r_score(row.states, windows["truth"].values[:2]).mean()
    )
    assert np.all(np.diff(row.costs) < 0)


def test_without_a_finished_row_it_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="tf4dvar tables l96 --runs"):
        make_figures("l96", tmp_path, tmp_path / "out", windows=1)
