"""Training: identification, schedule, guard, run directory, and the loop written out."""

from tf4dvar.training.curriculum import Curriculum
from tf4dvar.training.divergence_guard import DivergenceGuard
from tf4dvar.training.identification import identify_prior
from tf4dvar.training.job import check_minutes, learned_weights, train
from tf4dvar.training.loop import train_loop
from tf4dvar.training.own_data import train_on
from tf4dvar.training.run_directory import RunDirectory

__all__ = [
    "Curriculum",
    "DivergenceGuard",
    "RunDirectory",
    "check_minutes",
    "identify_prior",
    "learned_weights",
    "train",
    "train_loop",
    "train_on",
]
