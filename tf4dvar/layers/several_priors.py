"""One prior or several: each has a residual of its own."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf4dvar.errors import InputError, shown
from tf4dvar.layers.contracts import Prior, trait
from tf4dvar.layers.windows import at_sea


def priors_of(prior: keras.layers.Layer | Sequence[keras.layers.Layer]) -> list:
    """The priors in a list, one or several.

    Args:
        prior: a layer, or a list of them.

    Raises:
        InputError: it is neither, or there is none.
    """
    priors = list(prior) if isinstance(prior, list | tuple) else [prior]
    if not priors or not all(isinstance(each, keras.layers.Layer) for each in priors):
        raise InputError(
            f"Received prior={shown(prior)}; expected a Keras layer, built or not, or a list of "
            "one or more."
        )
    return priors


def names_of(priors: Sequence[keras.layers.Layer]) -> str:
    """The names of their classes, for people.

    Args:
        priors: the layers.
    """
    return " + ".join(type(prior).__name__ for prior in priors)


def with_covariates(priors: Sequence[keras.layers.Layer], covariates=None) -> list[tuple]:
    """Each prior, and what it is given beside the state: the covariates, if it takes some.

    Args:
        priors: the layers.
        covariates: [batch, time, covariate], or None.

    Raises:
        InputError: there are covariates, and none of the priors takes some.
    """
    taken = [trait(prior, Prior, "covariates") for prior in priors]
    if covariates is not None and not any(taken):
        raise InputError(
            f"Received covariates, but the prior, {names_of(priors)}, takes none; leave them out, "
            "or say in its attribute `covariates` how many it takes."
        )
    given = () if covariates is None else (covariates,)
    return [(prior, given if takes else ()) for prior, takes in zip(priors, taken, strict=True)]


def residuals_of(
    priors: Sequence[keras.layers.Layer], state, covariates=None, sea=None, **options
) -> list:
    """x - Phi(x) of each prior, shaped as the state, 0 on land.

    Args:
        priors: the layers.
        state: x, [batch, time, *space, variable], in the units of all of them.
        covariates, sea: as for `VariationalCost`.
        **options: of the calls of the priors.
    """
    return [
        at_sea(state - tf.cast(prior(state, *given, **options), state.dtype), sea)
        for prior, given in with_covariates(priors, covariates)
    ]
