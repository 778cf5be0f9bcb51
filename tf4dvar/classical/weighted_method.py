"""The settings that methods of one weak-constraint cost share."""

from dataclasses import dataclass

from tf4dvar.classical.covariance import Covariance
from tf4dvar.classical.method import Method, setting
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.weak_cost import Terms, averaged_terms, covariance_terms

# Of the paper, which minimises and scores with them.
OBSERVATION_WEIGHT, PRIOR_WEIGHT = 0.01, 1.0


@dataclass(frozen=True)
class WeightedMethod(Method):
    """A method that minimises eq. 4, its terms averaged or weighed by error covariances."""

    takes_first_guess = True
    observation_weight: float = setting(OBSERVATION_WEIGHT, "lambda_1 of eq. 4.", positive=True)
    prior_weight: float = setting(PRIOR_WEIGHT, "lambda_2 of eq. 4.", positive=True)
    model_error_variance: Covariance | None = setting(
        None,
        "Variance of the model error: weigh the terms by error covariances, with the climatology "
        "as background, instead of averaging them.",
        positive=True,
    )

    def terms(self, problem: Problem) -> Terms:
        """What weighs the terms of the cost.

        Args:
            problem: the windows.
        """
        if self.model_error_variance is None:
            return averaged_terms(problem, self.observation_weight, self.prior_weight)
        return covariance_terms(problem, self.model_error_variance)
