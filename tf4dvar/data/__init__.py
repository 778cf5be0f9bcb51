"""Windows, observation plans and NetCDF files. The `tf.data` part is in `data.pipeline`."""

from tf4dvar.data.arrays import as_array
from tf4dvar.data.checks import (
    check_observations,
    check_states,
    check_truth,
    warn_of_full_observation,
    warn_of_scale,
    warn_of_swapped_components,
    warn_of_units,
)
from tf4dvar.data.covariates import covariates_of
from tf4dvar.data.dataset import (
    DIMS,
    number_of,
    open_windows,
    read_windows,
    simulate_dataset,
    states_dataset,
    write_dataset,
)
from tf4dvar.data.fill_values import fill_values_of, warn_of_fill_values
from tf4dvar.data.layout import Layout
from tf4dvar.data.members import Members
from tf4dvar.data.noise_variance import noise_variance_of
from tf4dvar.data.opening import open_data
from tf4dvar.data.patches import Patches
from tf4dvar.data.protocols import default_protocol, plan_of, protocol_plan
from tf4dvar.data.series import Series
from tf4dvar.data.signature import Signature
from tf4dvar.data.states import like, read_errors, read_states
from tf4dvar.data.stores import readable
from tf4dvar.data.time_axis import binned, regular
from tf4dvar.data.time_step import time_step_of
from tf4dvar.data.transforms import TRANSFORMS, restored, transformed
from tf4dvar.data.writing import write_slabs, write_states
from tf4dvar.systems.observation_plan import ObservationPlan

__all__ = [
    "DIMS",
    "TRANSFORMS",
    "Layout",
    "Members",
    "ObservationPlan",
    "Patches",
    "Series",
    "Signature",
    "as_array",
    "binned",
    "check_observations",
    "check_states",
    "check_truth",
    "covariates_of",
    "default_protocol",
    "fill_values_of",
    "like",
    "noise_variance_of",
    "number_of",
    "open_data",
    "open_windows",
    "plan_of",
    "protocol_plan",
    "read_errors",
    "read_states",
    "read_windows",
    "readable",
    "regular",
    "restored",
    "simulate_dataset",
    "states_dataset",
    "time_step_of",
    "transformed",
    "warn_of_fill_values",
    "warn_of_full_observation",
    "warn_of_scale",
    "warn_of_swapped_components",
    "warn_of_units",
    "write_dataset",
    "write_slabs",
    "write_states",
]
