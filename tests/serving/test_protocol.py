import contextlib
import json
import tracemalloc

import numpy as np
import pytest

from tf4dvar.serving.protocol import Limits, Refusal, parse_call, render_answer

WINDOW = [[1.5, None, -2.0], [None, 3, 1e-3]]


def parse(request, **limits):
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return parse_call(body, Limits(**limits))


@pytest.mark.parametrize(
    "request_",
    [
        {"instances": [WINDOW, WINDOW]},
        {"instances": [{"observations": WINDOW}, {"observations": WINDOW}]},
        {"inputs": [WINDOW, WINDOW]},
        {"inputs": {"observations": [WINDOW, WINDOW]}},
        {"signature_name": "serving_default", "inputs": {"observations": [WINDOW, WINDOW]}},
    ],
)
def test_all_forms_mean_the_same(request_):
    call = parse(request_)
    assert call.observations.dtype == np.float32
    expected = np.array([WINDOW, WINDOW], float)
    np.testing.assert_allclose(call.observations, expected, rtol=1e-7)
    assert call.iterations is None
    assert call.by_rows == ("instances" in request_)


@pytest.mark.parametrize("missing", [b"null", b"NaN", b'"NaN"'])
def test_three_ways_to_say_that_nothing_was_observed(missing):
    call = parse(b'{"instances": [[[1.0, %s]]]}' % missing)
    np.testing.assert_equal(call.observations, np.float32([[[1, np.nan]]]))


def test_iterations_go_with_their_signature():
    inputs = {"observations": [WINDOW], "iterations": 7}
    assert parse({"signature_name": "reconstruct_with", "inputs": inputs}).iterations == 7


@pytest.mark.parametrize("by_rows", [True, False])
def test_what_else_is_known_goes_with_its_signatures(by_rows):
    known = {"observations": WINDOW, "noise_variance": [[2, None, 2], [1, 1, 1]]}
    columns = {name: [of, of] for name, of in known.items()}
    inputs = {"instances": [known, known]} if by_rows else {"inputs": columns}
    call = parse({"signature_name": "posterior", **inputs}, windows=2, steps=2)
    assert call.signature == "posterior"
    expected = np.float32([[[2, np.nan, 2], [1, 1, 1]]] * 2)
    np.testing.assert_equal(call.given, {"noise_variance": expected})


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (b"", "JSON"),
        (b'{"instances": [[[1.0', "JSON"),
        (b'{"instances": [[[Infinity]]]}', "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"\xff\xfe", "JSON"),
        (b'{"\xff": 1}', "JSON"),
        (b'{"instances": [[[1.0]]]}]', "JSON"),
        ({"x" * 2**20: 1}, "unknown field"),
        ([WINDOW], "either"),
        ({}, "either"),
        ({"instances": [WINDOW], "inputs": [WINDOW]}, "either"),
        ({"signature": "reconstruct_with", "instances": [WINDOW]}, "'signature'"),
        ({"signature_name": "train", "instances": [WINDOW]}, "signature_name"),
        ({"signature_name": ["x"], "instances": [WINDOW]}, "signature_name"),
        ({"inputs": {"observations": [WINDOW], "noise_variance": [WINDOW]}}, "posterior"),
        (
            {
                "signature_name": "posterior",
                "inputs": {"observations": [WINDOW], "noise_variance": [[[1, 0, 1], [1, 1, 1]]]},
            },
            "not positive",
        ),
        (
            {
                "signature_name": "posterior",
                "inputs": {"observations": [WINDOW], "background": [WINDOW, WINDOW]},
            },
            "the same windows",
        ),
        (
            {
                "signature_name": "posterior",
                "instances": [
                    {"observations": WINDOW},
                    {"observations": WINDOW, "background": WINDOW},
                ],
            },
            "same inputs by name",
        ),
        (
            {
                "signature_name": "posterior",
                "inputs": {"observations": [WINDOW], "noise_variance": [[]]},
            },
            "noise_variance of shape",
        ),
        ({"instances": 3.0}, "shape"),
        ({"instances": []}, "shape"),
        ({"instances": [[]]}, "shape"),
        ({"instances": WINDOW}, "shape"),
        ({"instances": [[WINDOW]]}, "shape"),
        ({"instances": [WINDOW, WINDOW[:1]]}, "shape"),
        ({"instances": [[[1.0, 2.0], [1.0]]]}, "shape"),
        ({"instances": [[["1.0", 2.0]]]}, "number"),
        ({"instances": [[[True, 2.0]]]}, "number"),
        ({"instances": [[[{}, 2.0]]]}, "number"),
        ({"instances": [1] * 3}, r"\$.instances\[0\]"),
        ({"instances": [WINDOW, [{}] * 3]}, r"\$.instances\[1\]\[0\]"),
        ({"instances": [[[1e39, 2.0]]]}, "float32"),
        ({"instances": [[[10**400, 2.0]]]}, "JSON|float32"),
        ({"instances": [{"observations": WINDOW}, WINDOW]}, "instance"),
        ({"instances": [{"observations": WINDOW, "x": 1}]}, "instance"),
        ({"inputs": {"x": [WINDOW]}}, "inputs"),
        ({"signature_name": "reconstruct_with", "inputs": [WINDOW]}, "iterations"),
        ({"inputs": {"observations": [WINDOW], "iterations": 3}}, "iterations"),
        ({"signature_name": "reconstruct_with", "instances": [WINDOW]}, "column"),
        *(
            (
                {
                    "signature_name": "reconstruct_with",
                    "inputs": {"observations": [WINDOW], "iterations": iterations},
                },
                "iterations",
            )
            for iterations in (None, True, 2.5, -1, 10**6, [3])
        ),
    ],
)
def test_what_is_wrong_is_said(request_, word):
    with pytest.raises(Refusal, match=word) as refusal:
        parse(request_)
    assert refusal.value.status == 400
    assert len(refusal.value.message) < 400


@pytest.mark.parametrize("limit", ["windows", "steps"])
def test_what_is_too_large_is_refused(limit):
    sizes = {"windows": 2, "steps": 2}
    request = {"instances": [WINDOW, WINDOW]}
    parse(request, **sizes)
    with pytest.raises(Refusal, match=f"limit.*{sizes[limit] - 1}") as refusal:
        parse(request, **{**sizes, limit: sizes[limit] - 1})
    assert refusal.value.status == 413


@pytest.mark.parametrize("windows", [[[[1.0]]] * 3, [WINDOW, WINDOW * 2], [[]] * 10])
def test_what_is_too_large_is_not_made_an_array(windows):
    with pytest.raises(Refusal, match="limits are 2 windows and 2 times") as refusal:
        parse({"instances": windows}, windows=2, steps=2)
    assert refusal.value.status == 413


def test_answers_have_the_form_of_their_questions(rng):
    state = rng.normal(size=(2, 4, 3)).astype("float32")
    cost = rng.normal(size=(2, 6)).astype("float32")

    def read(outputs, by_rows):
        return json.loads(render_answer(outputs, by_rows))

    np.testing.assert_array_equal(np.float32(read({"state": state}, True)["predictions"]), state)
    np.testing.assert_array_equal(np.float32(read({"state": state}, False)["outputs"]), state)
    both = {"state": state, "cost": cost}
    rows = read(both, True)["predictions"]
    np.testing.assert_array_equal(np.float32([row["cost"] for row in rows]), cost)
    columns = read(both, False)["outputs"]
    np.testing.assert_array_equal(np.float32(columns["state"]), state)


# An eighth of the defaults.
SMALL = Limits(body=2**19, windows=32)


def filled(start, piece, end):
    """A body of the largest size."""
    return start + piece * ((SMALL.body - len(start) - len(end)) // len(piece)) + end


LARGE = {
    "empty objects": filled(b'{"instances": [', b"{},", b"{}]}"),
    "objects": filled(b'{"instances": [', b'{"observations":[]},', b'{"observations":[]}]}'),
    "empty lists": filled(b'{"instances": [', b"[],", b"[]]}"),
    "lists in a list": filled(b'{"instances": [[', b"[],", b"[]]]}"),
    "lists of one": filled(b'{"instances": [[', b"[1],", b"[1]]]}"),
    "windows of one": filled(b'{"instances": [', b"[[1]],", b"[[1]]]}"),
    "lists for numbers": filled(b'{"instances": [[[', b"[],", b"[]]]]}"),
    "texts": filled(b'{"instances": [[[', b'"",', b'""]]]}'),
    "numbers": filled(b'{"instances": [[[', b"1,", b"1]]]}"),
    "as many lists as may be, and numbers": filled(
        b'{"instances": [[' + b"[1]," * 64_000 + b"[", b"1,", b"1]]]}"
    ),
    "a number": filled(b'{"instances": [[[', b"1", b"]]]}"),
    "keys": b"{" + b",".join(b'"%d":0' % i for i in range(50_000)) + b"}",
    "a key": filled(b'{"', b"x", b'": 0}'),
    "the same key": filled(b"{", b'"instances":[],', b'"instances":[]}'),
    "depth": b"[" * SMALL.body,
    "depth inside": b'{"instances": ' + b"[" * (SMALL.body - 20),
}


@pytest.mark.parametrize("kind", LARGE)
def test_no_body_takes_much_more_memory_than_a_good_one(kind):
    """Parsed as any JSON, empty objects take two hundred times their body."""
    body = LARGE[kind]
    assert 0.9 * SMALL.body < len(body) <= SMALL.body
    tracemalloc.start()
    try:
        with contextlib.suppress(Refusal):
            parse_call(body, SMALL)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25 * len(body)
