"""Filling the gaps of a user's maps by what withheld pixels show to be best."""

from tf4dvar.filling.candidates import DINEOF, KRIGING, Candidate, candidates_for
from tf4dvar.filling.gaps import Filling, fill
from tf4dvar.filling.network import Network
from tf4dvar.filling.noise import noise_variance_of

__all__ = [
    "DINEOF",
    "KRIGING",
    "Candidate",
    "Filling",
    "Network",
    "candidates_for",
    "fill",
    "noise_variance_of",
]
