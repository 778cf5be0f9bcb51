import numpy as np
import pytest
from scipy import fft

from tf4dvar.errors import InputError
from tf4dvar.evaluation.field_scores import field_scores, resolved, spectral_score

DAYS, HEIGHT, WIDTH, SPACING = 64, 12, 96, 10.0


@pytest.fixture
def truth(rng):
    """Noise with power at all scales, [member, day, y, x]."""
    return rng.normal(size=(2, DAYS, HEIGHT, WIDTH))


def without_small(fields, axis, step, smallest):
    """Fields without what is smaller than a scale."""
    spectrum = fft.rfft(fields, axis=axis)
    frequencies = fft.rfftfreq(fields.shape[axis], step)
    shape = [1] * fields.ndim
    shape[axis] = -1
    kept = (frequencies <= 1 / smallest).reshape(shape)
    return fft.irfft(spectrum * kept, fields.shape[axis], axis=axis)


def test_mu_is_what_is_explained(truth):
    assert field_scores(truth, truth, 1.0, SPACING)[:2] == (1.0, 0.0)
    scores = field_scores(0 * truth, truth, 1.0, SPACING)
    assert (scores.mu, scores.sigma, scores.lambda_x, scores.lambda_t) == (0.0, 0.0, None, None)
    assert field_scores(0.7 * truth, truth, 1.0, SPACING).mu == pytest.approx(0.7)
    error = np.random.default_rng(3).normal(size=truth.shape)
    scores = field_scores(truth + 0.5 * error, truth, 1.0, SPACING)
    assert scores.rmse == pytest.approx(0.5 * np.sqrt(np.square(error).mean()))
    assert scores.mu == pytest.approx(1 - scores.rmse / np.sqrt(np.square(truth).mean()))


def test_sigma_is_over_days(truth):
    share = np.linspace(0, 1, DAYS)[:, None, None]
    sigma = field_scores(share * truth, truth, 1.0, SPACING).sigma
    assert sigma == pytest.approx(np.linspace(0, 1, DAYS).std())


def test_a_map_without_small_waves_resolves_the_others(truth):
    for smallest in (60.0, 120.0):
        states = without_small(truth, -1, SPACING, smallest)
        scores = field_scores(states, truth, 1.0, SPACING)
        assert scores.lambda_x == pytest.approx(smallest, rel=0.15)
        # At large wavelengths every period is resolved.
        assert scores.lambda_t == pytest.approx(2.0, rel=0.05)
    for smallest in (5.0, 10.0):
        scores = field_scores(without_small(truth, -3, 1.0, smallest), truth, 1.0, SPACING)
        assert scores.lambda_t == pytest.approx(smallest, rel=0.15)
        assert scores.lambda_x == pytest.approx(2 * SPACING, rel=0.05)


def test_scales_are_in_the_units_of_the_steps(truth):
    states = without_small(truth, -1, SPACING, 80.0)
    one = field_scores(states, truth, 1.0, SPACING)
    other = field_scores(states, truth, 0.5, 3 * SPACING)
    assert other.lambda_x == pytest.approx(3 * one.lambda_x)
    assert other.lambda_t == pytest.approx(one.lambda_t / 2)


def test_waves_that_go_east_and_west_count_alike():
    x, t = np.arange(WIDTH) * SPACING, np.arange(DAYS)[:, None, None]
    wave = 2 * np.pi * (x / 120)
    for direction in (1, -1):
        truth = np.sin(wave - direction * 2 * np.pi * t / 8) * np.ones((HEIGHT, 1))
        score, periods, wavelengths = spectral_score(0 * truth, truth, 1.0, SPACING)
        assert score.shape == (len(periods), len(wavelengths)) == (DAYS // 2, WIDTH // 2)
        half = spectral_score(truth * (1 - np.sqrt(0.3)), truth, 1.0, SPACING)[0]
        near = np.argmin(np.abs(periods - 8)), np.argmin(np.abs(wavelengths - 120))
        assert half[near] == pytest.approx(0.7)


def test_the_contour_is_linear_between_the_scales():
    periods, wavelengths = np.array([8.0, 4.0, 2.0]), np.array([100.0, 50.0, 25.0, 20.0])
    score = np.array([[0.9, 0.8, 0.3, 0.0], [0.9, 0.1, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    shortest = 50 + (0.8 - 0.5) / (0.8 - 0.3) * (25 - 50)
    quickest = 4 + (0.9 - 0.5) / 0.9 * (2 - 4)
    assert resolved(score, periods, wavelengths) == pytest.approx((shortest, quickest))
    # A patch of small scales apart from them changes nothing.
    apart = score.copy()
    apart[-1, -2:] = 0.9
    assert resolved(apart, periods, wavelengths) == resolved(score, periods, wavelengths)
    assert resolved(score * 0, periods, wavelengths) == (None, None)
    assert resolved(score * 0 + 1, periods, wavelengths) == (20.0, 2.0)


def test_land_counts_in_nothing_and_has_no_spectrum(truth):
    states = 0.7 * truth
    land = np.zeros((HEIGHT, WIDTH), bool)
    land[:3, :40] = True
    masked = np.where(land, np.nan, truth)
    scores = field_scores(np.where(land, 1e6, states), masked, 1.0, SPACING)
    assert scores.mu == pytest.approx(0.7)
    assert (scores.lambda_x, scores.lambda_t) == (None, None)


def test_what_cannot_be_scored_is_refused(truth):
    with pytest.raises(InputError, match="expected the same shape"):
        field_scores(truth[..., 1:], truth, 1.0, SPACING)
    with pytest.raises(InputError, match="0 values of it known"):
        field_scores(truth, np.nan * truth, 1.0, SPACING)
