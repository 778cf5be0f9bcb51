"""Windows, observation plans and NetCDF files. The `tf.data` part is in `data.pipeline`."""

from tf4dvar.data.dataset import (
    DIMS,
    atomic_path,
    check_observations,
    check_output,
    read_windows,
    simulate_dataset,
    states_dataset,
    write_dataset,
)
from tf4dvar.data.plan import PROTOCOLS, ObservationPlan, protocol_plan

__all__ = [
    "DIMS",
    "PROTOCOLS",
    "ObservationPlan",
    "atomic_path",
    "check_observations",
    "check_output",
    "protocol_plan",
    "read_windows",
    "simulate_dataset",
    "states_dataset",
    "write_dataset",
]
