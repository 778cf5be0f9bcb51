"""Cycles: an analysis, a forecast, new observations, and so on; and how methods are judged by it.

Nothing here imports TensorFlow.
"""

from tf4dvar.cycling.benchmark import Benchmark, Case, Result
from tf4dvar.cycling.learned import LearnedFilter
from tf4dvar.cycling.model_windows import ModelFilter
from tf4dvar.cycling.settings import BENCHMARKS
from tf4dvar.cycling.windows import WindowFilter

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Case",
    "LearnedFilter",
    "ModelFilter",
    "Result",
    "WindowFilter",
]
