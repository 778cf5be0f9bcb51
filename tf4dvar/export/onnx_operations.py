"""What tf2onnx does not convert, or converts wrongly, in ONNX operations.

Each function takes tf2onnx's graph, a node of it, the node's name and arguments of ours, none
here: the contract of its `custom_op_handlers`.
"""

from collections.abc import Callable

import numpy as np
from onnx import TensorProto, helper
from tf2onnx.utils import make_name


def relu_gradient(graph, node, name, _):
    """The gradient where the feature is positive."""
    gradient, feature = node.input
    zero = _constant(graph, node, 0)
    positive = graph.make_node("Greater", [feature, zero]).output[0]
    _replace(graph, node, "Where", [positive, gradient, zero])


def select(graph, node, name, _):
    """A choice. tf2onnx multiplies both by a mask, and NaN times zero is NaN."""
    node.type = "Where"


def reshape(graph, node, name, _):
    """Another shape, in which a zero is a zero; ONNX copies the old size there if not told."""
    graph.insert_new_node_on_input(node, "Cast", node.input[1], to=TensorProto.INT64)
    node.set_attr("allowzero", 1)


def matrix_inverse(graph, node, name, _):
    """The inverse of matrices, by Gauss and Jordan without a choice of pivots.

    That is stable for those that are symmetric and positive definite, which we have.
    """

    def made(operation, *inputs, **attributes):
        return graph.make_node(operation, list(inputs), attr=attributes).output[0]

    def constant(values):
        dtype = helper.tensor_dtype_to_np_dtype(graph.get_dtype(node.output[0]))
        return graph.make_const(make_name("constant"), np.asarray(values, dtype)).output[0]

    def places(*numbers):
        return graph.make_const(make_name("places"), np.array(numbers, "int64")).output[0]

    size = graph.get_shape(node.input[0])[-1]
    units = np.eye(size)
    identity = made("Mul", node.input[0], constant(np.zeros((size, size))))
    identity = made("Add", identity, constant(units))
    equations = made("Concat", node.input[0], identity, axis=-1)
    for place in range(size):
        row = made("Gather", equations, places(place), axis=-2)
        column = made("Gather", equations, places(place), axis=-1)
        pivot = made("Gather", row, places(place), axis=-1)
        others = made("Sub", column, constant(units[:, place : place + 1]))
        taken = made("Mul", others, made("Div", row, pivot))
        equations = made("Sub", equations, taken)
    _replace(graph, node, "Gather", [equations, places(*range(size, 2 * size))], {"axis": -1})


def error_function_complement(graph, node, name, _):
    """1 - erf(x)."""
    erf = graph.make_node("Erf", node.input).output[0]
    _replace(graph, node, "Sub", [_constant(graph, node, 1), erf])


def logarithm_of_one_more(graph, node, name, _):
    """log(1 + x)."""
    more = graph.make_node("Add", [_constant(graph, node, 1), *node.input]).output[0]
    _replace(graph, node, "Log", [more])


def floor_divide(graph, node, name, _):
    """A quotient rounded down. That of integers is rounded towards zero in ONNX."""
    numerator, denominator = node.input
    if _is_integer(graph, node):
        rest = graph.make_node("Mod", node.input).output[0]
        whole = graph.make_node("Sub", [numerator, rest]).output[0]
        _replace(graph, node, "Div", [whole, denominator])
    else:
        _replace(graph, node, "Floor", graph.make_node("Div", node.input).output)


def floor_modulo(graph, node, name, _):
    """The rest of that quotient."""
    if _is_integer(graph, node):
        node.type = "Mod"
        return
    numerator, denominator = node.input
    quotient = graph.make_node("Floor", graph.make_node("Div", node.input).output).output[0]
    multiple = graph.make_node("Mul", [quotient, denominator]).output[0]
    _replace(graph, node, "Sub", [numerator, multiple])


HANDLERS: dict[str, tuple[Callable, list]] = {
    "Erfc": (error_function_complement, []),
    "FloorDiv": (floor_divide, []),
    "FloorMod": (floor_modulo, []),
    "MatrixInverse": (matrix_inverse, []),
    "Log1p": (logarithm_of_one_more, []),
    "ReluGrad": (relu_gradient, []),
    "Reshape": (reshape, []),
    "SelectV2": (select, []),
}


def _replace(graph, node, operation, inputs, attributes=None):
    outputs, shapes, dtypes = list(node.output), node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    graph.make_node(
        operation,
        inputs,
        attr=attributes,
        name=node.name,
        outputs=outputs,
        shapes=shapes,
        dtypes=dtypes,
    )


def _constant(graph, node, value):
    dtype = helper.tensor_dtype_to_np_dtype(graph.get_dtype(node.output[0]))
    return graph.make_const(make_name("constant"), np.array(value, dtype)).output[0]


def _is_integer(graph, node):
    return graph.get_dtype(node.input[0]) in (TensorProto.INT32, TensorProto.INT64)
