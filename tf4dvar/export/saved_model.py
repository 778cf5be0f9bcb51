"""Trained models as SavedModels."""

from dataclasses import dataclass

from tf4dvar.export.formats import ExportFormat


@dataclass(frozen=True)
class SavedModel(ExportFormat):
    """A directory for TensorFlow and TensorFlow Serving.

    It needs nothing of this package and has signatures; observations and state are float32
    [batch, time, component], with an observation operator the former [batch, time, observed], in
    physical units, NaN = not observed:

        serving_default(observations) -> state
        reconstruct_with(observations, iterations) -> state, cost
        reconstruct_given(observations, noise_variance, background) -> state
        posterior(observations, noise_variance, background) -> state, std

    The last is there where the model has an `uncertainty`. All take `covariates` too, if the model
    does. `noise_variance` and `background` are as for the call of `FourDVarNet`, NaN where they are
    not known.

    `iterations` is an int32 scalar, K for this call, 0 to
    `tf4dvar.models.saved_model.MAX_ITERATIONS`; `cost` the variational cost of the first guess and
    after every iteration, [batch, iterations + 1]. Batch and time are free. The graph itself
    refuses other shapes, infinite observations and other numbers of iterations
    (InvalidArgumentError).

    Args:
        unroll: write out the iterations of `serving_default`, K of the model as it is now, and
            compile them by XLA, once for every shape: for GPUs. `reconstruct_with` stays a loop.
    """

    name = "savedmodel"
    unroll: bool = False

    def write(self, model, folder, card):
        """The SavedModel's own files; the card tells the signatures."""
        from tf4dvar.export.card import signature_card
        from tf4dvar.models.saved_model import input_specs, write_saved_model

        names = list(input_specs(model))
        needed = [name for name in names if name in ("observations", "covariates")]
        tensors = {
            "serving_default": (needed, ["state"]),
            "reconstruct_with": ([*needed, "iterations"], ["state", "cost"]),
            "reconstruct_given": (names, ["state"]),
        }
        if model.uncertainty is not None:
            tensors["posterior"] = (names, ["state", "std"])
        card |= {
            "unrolled": self.unroll,
            "signatures": {
                name: signature_card(model, card, *each) for name, each in tensors.items()
            },
        }
        write_saved_model(model, folder, self.unroll)
