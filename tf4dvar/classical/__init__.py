"""Classical variational assimilation: what a user would pick instead."""

from tf4dvar.classical.descent import Descent, first_guess, fixed_step_descent

__all__ = ["Descent", "first_guess", "fixed_step_descent"]
