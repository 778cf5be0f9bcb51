"""A model that takes labelled data: data sets and arrays of xarray."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from tf4dvar.data import Layout, Members, Signature, states_dataset
from tf4dvar.data.conventions import first_member
from tf4dvar.data.covariates import names_of
from tf4dvar.data.domain import land_of
from tf4dvar.data.layout import as_dataset
from tf4dvar.data.series import with_errors
from tf4dvar.data.signature import WINDOW
from tf4dvar.errors import InputError
from tf4dvar.models.input_checks import CheckedModel
from tf4dvar.models.labelled import arranged, arranged_truth
from tf4dvar.models.series import members_for, states_and_errors_of_members, states_of_members
from tf4dvar.models.state_checks import check_states_of


class LabelledModel(CheckedModel):
    """The part of `FourDVarNet` for data of xarray, which keep their labels.

    A series in any form, a table or maps in time as `tf4dvar.open_data` gives them, is cut into
    windows, each of its members by itself; data sets of windows are taken as they are. What lies on
    land, where a mask tells of some, takes no part, and stays NaN. What the model was adapted to is
    its `signature`, by which all that comes later is put in order, refused or warned of.

    Usage:

        x, y, z = observations[0].T
        data = xr.Dataset({"x": ("time", x), "z": ("time", z)}, {"time": 0.01 * np.arange(16)})
        model = FourDVarNet(GENN(scale=None), GradientSolver(LSTMCell(), iterations=2))
        model.adapt(data, window=8)
        model.compile("adam", UnsupervisedLoss())
        model.fit(data)
        filled = model.reconstruct(data)
    """

    @property
    def transforms(self) -> dict[str, str]:
        """Names of the transforms in which the model works, by those of the components."""
        if self.signature is None:
            return {}
        names = self.signature.transforms
        each = names * self.signature.size if len(names) == 1 else names
        return {name: of for name, of in zip(self.signature.components, each, strict=False) if of}

    @property
    def covariate_names(self) -> tuple[str, ...]:
        """Names of the covariates in their order; none where it takes none, or they had none."""
        return () if self.signature is None else self.signature.covariates

    @property
    def window(self) -> int:
        """Steps of the windows that a series is cut into: those of the training."""
        return WINDOW if self.signature is None else self.signature.window

    def adapt(
        self,
        observations: Any,
        truth: Any = None,
        window: int = WINDOW,
        transforms: Mapping[str, str] | None = None,
    ) -> None:
        """Fit the normalisation, and keep what the data tell; see `CheckedModel.adapt`.

        Args:
            observations: arrays or a pipeline; or a data set, or an array with labels.
            truth: true states in the same form; of a data set of windows, its own by default.
            window: steps of the windows that a series is cut into.
            transforms: names of `tf4dvar.data.TRANSFORMS` by those of variables of a series, in
                which the model is to work.
        """
        if not _tells_time(observations):
            super().adapt(observations, truth)
            return
        dataset = as_dataset(observations)
        names, land = None, None
        if _is_series(observations):
            members = Members.of(dataset).with_transforms(transforms or {})
            windows = members.windows([each.observations for each in members.series], window)
            names = [(transforms or {}).get(name) for name in members.first.layout.variables]
            if truth is not None:
                true = Members.of(truth).with_transforms(transforms or {})
                truth = members.windows(true.at_times_of(members), window).values
        else:
            layout = Layout.of(dataset)
            windows, land = layout.stack(dataset), land_of(dataset, layout.time, layout.space)
            truth = dataset.get("truth") if truth is None else truth
            if isinstance(truth, xr.DataArray):
                truth = truth.transpose(*windows.dims).values
        inputs = {"observations": windows.values}
        if land is not None:
            inputs["land"] = np.broadcast_to(land.values, (len(windows), *land.shape))
        super().adapt(inputs, truth)
        self.signature = Signature.of(windows, transforms=names, covariates=names_of(dataset))

    def fit(self, x=None, y=None, *args, validation_data=None, **kwargs):
        """As of `keras.Model`; of a data set its windows, which overlap if they are of a series."""
        if validation_data is not None and _tells_time(validation_data):
            validation_data = (validation_data,)
        if isinstance(validation_data, list | tuple) and _tells_time(validation_data[0]):
            validation_data = self._windows(*validation_data)
        x, y = self._windows(x, y)
        return super().fit(x, y, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As of `keras.Model`; of a data set its windows."""
        return super().evaluate(*self._windows(x, y), *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As of `keras.Model`; a data set is one of windows."""
        if _tells_time(x) and _is_series(x):
            raise InputError(
                "Received a series for `predict`, which gives states of windows as an array; "
                "reconstruct(data) gives them in the form of the data."
            )
        return super().predict(x, *args, **kwargs)

    def reconstruct(self, data: xr.Dataset | xr.DataArray) -> xr.Dataset | xr.DataArray:
        """The states of labelled observations, in their own form.

        Args:
            data: a series in any form, see `tf4dvar.open_data`; or a data set of windows.

        Returns:
            Of a series the same variables, dimensions, coordinates and attributes, a value at
            every time and place; an array of an array. Of windows the variable `state`. A model
            with an `uncertainty` gives `NAME_error` beside each variable of a data set, and
            `state_std`: standard deviations of the errors.

        Raises:
            InputError: the data are not of the kind of the training's.
            DivergenceError: states are not finite.
        """
        if not _tells_time(data):
            raise InputError(
                f"Received a {type(data).__name__}; expected a data set of xarray. Of arrays "
                "[window, time, component] predict(observations) gives the states."
            )
        if not _is_series(data):
            dataset = as_dataset(data)
            inputs, restored = arranged(self, dataset)
            states, errors = self._mean_and_std(inputs)
            errors = None if errors is None else restored(errors)
            return states_dataset(dataset, restored(states), errors)
        members = members_for(self, Members.of(data))
        like = members.like
        if self.uncertainty is None or isinstance(data, xr.DataArray):
            slabs = states_of_members(self, members, lambda inputs: self._mean_and_std(inputs)[0])
        else:
            like = with_errors(like, like, members.first.transforms)
            slabs = states_and_errors_of_members(self, members, self._mean_and_std)
        states = xr.concat(list(slabs), members.first.layout.time)
        names = list(states.data_vars)
        result = like.assign({name: like[name].copy(data=states[name].data) for name in names})
        return result[names[0]].rename(data.name) if isinstance(data, xr.DataArray) else result

    def _mean_and_std(self, inputs):
        """Without a standard deviation where the model has none."""
        found = self.posterior(inputs) if self.uncertainty is not None else None
        mean, std = found or (super().predict(inputs, verbose=0), None)
        return check_states_of(inputs, mean), std

    def _windows(self, x, y=None):
        """Inputs and truth as `fit` takes them."""
        if not _tells_time(x):
            return x, y
        dataset = as_dataset(x)
        if _is_series(x):
            members = members_for(self, Members.of(x))
            true = None if y is None else members_for(self, Members.of(y))
            dataset, y = members.cut(self.window, self.window * 3 // 4, true), None
        truth = dataset.get("truth") if y is None else y
        inputs, _ = arranged(self, dataset)
        return inputs, None if truth is None else np.asarray(arranged_truth(self, truth))


def _tells_time(data):
    """Whether data are of xarray, and say where time is."""
    if isinstance(data, xr.Dataset):
        return True
    if not isinstance(data, xr.DataArray):
        return False
    try:
        Layout.of(first_member(as_dataset(data)))
    except InputError:
        return False
    return True


def _is_series(data):
    return Layout.of(first_member(as_dataset(data))).window is None
