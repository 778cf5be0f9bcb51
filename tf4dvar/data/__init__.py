"""Windows, observation plans and NetCDF files. The `tf.data` part is in `data.pipeline`."""

from tf4dvar.data.arrays import as_array
from tf4dvar.data.checks import (
    check_observations,
    check_states,
    check_truth,
    warn_of_fill_values,
    warn_of_full_observation,
    warn_of_scale,
    warn_of_swapped_components,
    warn_of_units,
)
from tf4dvar.data.dataset import (
    DIMS,
    number_of,
    open_windows,
    read_windows,
    readable,
    simulate_dataset,
    states_dataset,
    write_dataset,
    write_states,
)
from tf4dvar.data.noise_variance import noise_variance_of
from tf4dvar.data.protocols import default_protocol, protocol_plan
from tf4dvar.data.signature import Signature
from tf4dvar.data.states import like, read_states
from tf4dvar.systems.observation_plan import ObservationPlan

__all__ = [
    "DIMS",
    "ObservationPlan",
    "Signature",
    "as_array",
    "check_observations",
    "check_states",
    "check_truth",
    "default_protocol",
    "like",
    "noise_variance_of",
    "number_of",
    "open_windows",
    "protocol_plan",
    "read_states",
    "read_windows",
    "readable",
    "simulate_dataset",
    "states_dataset",
    "warn_of_fill_values",
    "warn_of_full_observation",
    "warn_of_scale",
    "warn_of_swapped_components",
    "warn_of_units",
    "write_dataset",
    "write_states",
]
