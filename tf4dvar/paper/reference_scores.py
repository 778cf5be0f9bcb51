"""What the scores of the tables are held against, measured elsewhere.

The limits come from an independent NumPy implementation with a perfect model; they are means
over windows of all 200 steps.
"""

from typing import NamedTuple


class Reference(NamedTuple):
    """An R-score to compare with.

    Attributes:
        label: what reached it.
        r_score: mean squared error, physical units.
        se: its standard error over windows, where it is known.
    """

    label: str
    r_score: float
    se: float | None = None

    @property
    def shown(self) -> str:
        """The R-score and, where it is known, its error."""
        return f"{self.r_score:g}" + ("" if self.se is None else f" +- {self.se:g}")


REFERENCES: dict[tuple[str, str], tuple[Reference, ...]] = {
    ("l63", "T"): (
        Reference("Bayes limit: no method can do better", 0.386, 0.001),
        Reference("best classical: strong 4DVar, quasi-static, with a background", 0.405, 0.013),
        Reference("ensemble Kalman smoother, 1000 members", 0.66, 0.05),
        Reference("weak 4DVar, terms averaged as by the descent, minimised", 1.33, 0.08),
    ),
    ("l63", "C"): (
        Reference("Bayes limit: no method can do better", 0.574, 0.004),
        Reference("best classical: strong 4DVar, quasi-static, with a background", 0.689, 0.029),
        Reference("ensemble Kalman smoother, 1000 members", 2.15, 0.12),
        Reference("weak 4DVar, terms averaged as by the descent, minimised", 6.06, 0.55),
        Reference("paper, best unsupervised row", 3.52),
    ),
    ("l96", "T"): (
        Reference("Bayes limit, lower bracket", 0.09),
        Reference("Bayes limit, upper bracket", 0.13),
        Reference("best classical: weak 4DVar, annealed, from an ensemble smoother", 0.130, 0.023),
        Reference("ensemble Kalman smoother, 1000 members", 0.62, 0.03),
        Reference("weak 4DVar, terms averaged as by the descent, minimised", 0.94, 0.08),
        Reference("paper, best unsupervised row", 1.00),
        Reference("the paper's trained network, GENN + LSTM, on fresh masks", 0.404, 0.012),
        Reference("the paper's trained network, RK4 + LSTM, on fresh masks", 0.869, 0.019),
    ),
}
