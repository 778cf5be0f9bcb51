"""Filling the gaps of a user's maps by what withheld pixels show to be best."""

from tf4dvar.filling.gaps import Candidate, Filling, fill
from tf4dvar.filling.noise import noise_variance_of

__all__ = ["Candidate", "Filling", "fill", "noise_variance_of"]
