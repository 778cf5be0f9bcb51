"""Windows drawn by hypothesis: of any number, length and share of observations."""

import numpy as np
from hypothesis import strategies as st

SHARES = (0.0, 0.02, 0.3, 1.0)


@st.composite
def observed_windows(draw, components=3, most=5, longest=40, dtype="float32"):
    """Observations [window, time, component] of the scale of Lorenz-63, NaN where there are none.

    Hypothesis draws sizes and a seed, and NumPy the numbers: thousands of drawn numbers are slow.
    """
    shape = draw(st.integers(1, most)), draw(st.integers(2, longest)), components
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    states = rng.normal(0, 8, shape)
    # Some components may never be observed, others always.
    share = np.array(draw(st.tuples(*[st.sampled_from(SHARES)] * components)))
    return np.where(rng.random(shape) < share, states, np.nan).astype(dtype)


def seeded():
    """Random generators."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)
