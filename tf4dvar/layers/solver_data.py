"""What a solver is given of the windows of a batch."""

import tensorflow as tf


def known_of(covariates=None, sea=None) -> dict:
    """What is known of a window beside its observations, without what there is none of.

    Args:
        covariates, sea: see `VariationalCost`.
    """
    known = {"covariates": covariates, "sea": sea}
    return {name: values for name, values in known.items() if values is not None}


def of_any_batch(tensor):
    """The tensor, the size of its batch left open.

    TensorFlow's graph optimiser reckons with the memory of what has a known shape; where that is
    much it rewrites the sums in the gradient of a loop, and the loop fails
    ("AlreadyExistsError ... TemporaryVariableOp").

    Args:
        tensor: [batch, ...].
    """
    if tensor.shape[0] is None:
        return tensor
    return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=(None, *tensor.shape[1:]))
