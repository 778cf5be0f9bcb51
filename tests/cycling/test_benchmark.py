from dataclasses import replace

import numpy as np
import pytest

from tf4dvar.classical.cycled import EnKF
from tf4dvar.cycling import BENCHMARKS, Case, benchmark
from tf4dvar.errors import InputError

SAKOV2008 = BENCHMARKS["sakov2008"]
SHORT = replace(SAKOV2008, burn_in=30, cases={"EnKF 24": Case(EnKF(members=24), 0.18)})


def test_it_observes_the_truth_as_it_says():
    whole = replace(BENCHMARKS["spantini2019"], burn_in=150)
    pieces = list(whole.pieces(150))
    assert [piece.first for piece in pieces] == [0, 4000]
    np.testing.assert_array_equal(pieces[0].truth[-1], pieces[1].truth[0])
    departures = [each.observations - each.truth for each in pieces]
    seen = np.concatenate([each[1:] for each in departures])
    assert np.isnan(departures[0][0]).all()
    assert np.isfinite(seen[19::20, ::2]).all()
    assert np.isfinite(seen).sum() == 300 * 20
    assert np.nanvar(seen) == pytest.approx(0.5, rel=0.05)


def test_pieces_of_any_length_are_the_same(monkeypatch):
    whole = SHORT.run(cycles=40)["EnKF 24"]
    monkeypatch.setattr(benchmark, "CYCLES", 7)
    parts = SHORT.run(cycles=40)["EnKF 24"]
    assert parts._replace(seconds=0) == whole._replace(seconds=0)


def test_it_tells_what_the_method_has():
    told = []
    found = SHORT.run(cycles=60, seed=2, progress=lambda *done: told.append(done))["EnKF 24"]
    assert found.rmse.mean == pytest.approx(0.18, abs=0.06)
    assert 0.5 < found.spread / found.rmse.mean < 1.5
    assert 0.6 < found.misfit < 1.4
    assert found.crps < found.rmse.mean
    assert found.published == 0.18
    assert told[-1] == (90, 90)


def test_other_methods_by_their_settings():
    found = SHORT.case("letkf:members=5:localisation=8.5").method
    assert (found.name, found.members, found.localisation) == ("letkf", 5, 8.5)
    assert SHORT.case("enkf:analysis_by=perturbed").method.analysis_by == "perturbed"
    for name in ("kalman", "enkf:member=3", "EnKF 25"):
        with pytest.raises(InputError, match=r"sakov2008 has EnKF 24\. Others are enkf"):
            SHORT.case(name)
    with pytest.raises(InputError, match="members"):
        SHORT.case("enkf:members=many")


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "case", "cycles"),
    [("bocquet2010", "IEnKS 24", 200), ("sakov2012", "IEnKS 10", 150)],
)
def test_iterations_reach_what_is_published(name, case, cycles):
    whole = replace(BENCHMARKS[name], burn_in=64)
    found = whole.run([case], cycles)[case]
    assert abs(found.rmse.mean - found.published) < 0.1 * found.published + 3 * found.rmse.error
    assert found.misfit == pytest.approx(1.0, abs=0.15)
