"""Filling the gaps of a user's maps by what withheld pixels show to be best."""

from tf4dvar.filling.gaps import KRIGING, Candidate, Filling, fill
from tf4dvar.filling.network import Network
from tf4dvar.filling.noise import noise_variance_of

__all__ = ["KRIGING", "Candidate", "Filling", "Network", "fill", "noise_variance_of"]
