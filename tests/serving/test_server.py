import contextlib
import http.client
import json
import re
import shlex
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.serving.conftest import Server, labelled, new_model
from tf4dvar.errors import InputError
from tf4dvar.export import save
from tf4dvar.serving.client import ServerError
from tf4dvar.serving.protocol import Limits

pytestmark = pytest.mark.long

NAME = "/v1/models/tf4dvar"
LIMITS = {"windows": 40, "steps": 200, "iterations": 10, "body": 200_000, "requests": 80}


@pytest.fixture(scope="module")
def server(exported, tmp_path_factory):
    options = [f"--limit={name}={value}" for name, value in LIMITS.items()]
    server = Server(exported, tmp_path_factory.mktemp("log") / "log", *options)
    yield server
    assert server.stop() == 0


def predict(model, observations):
    return model.predict(observations, verbose=0)


def test_states_are_those_of_predict(server, model, observations):
    for windows in (observations, observations[:1, :7], np.tile(observations, (7, 4, 1))):
        with server.client() as client:
            np.testing.assert_allclose(
                client.predict(windows), predict(model, windows), rtol=1e-5, atol=1e-5
            )


def test_another_number_of_iterations(server, model, observations):
    pathway = model.iterates(observations, 5)
    with server.client() as client:
        state, cost = client.reconstruct_with(observations, 5)
    np.testing.assert_allclose(state, pathway.states[-1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(cost, np.transpose(pathway.costs), rtol=1e-4)


def test_rows_and_columns_as_tensorflow_serving_has_them(server, model, observations):
    rows = [window.tolist() for window in observations]
    state = predict(model, observations)
    for body, key in (
        ({"instances": rows}, "predictions"),
        ({"instances": [{"observations": row} for row in rows]}, "predictions"),
        ({"inputs": rows, "signature_name": "serving_default"}, "outputs"),
    ):
        status, answer = server.post(f"{NAME}:predict", body)
        assert status == 200
        np.testing.assert_allclose(answer[key], state, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("missing", ["null", "NaN", '"NaN"'])
def test_missing_values(server, model, missing):
    window = np.float32([[[1, np.nan, 2], [np.nan, np.nan, np.nan]]])
    body = f'{{"instances": [[[1, {missing}, 2], [{missing}, {missing}, {missing}]]]}}'
    status, answer = server.post(f"{NAME}:predict", body.encode())
    assert status == 200
    np.testing.assert_allclose(answer["predictions"], predict(model, window), atol=1e-5)


def test_sixty_four_clients_at_once(server, model, rng):
    """Each has its own window, of one of four lengths, and gets its own state."""
    windows = [rng.normal(size=(1, 10 + 5 * (i % 4), 3)).astype("float32") for i in range(64)]

    def ask(window):
        with server.client() as client:
            return [client.predict(window) for _ in range(2)]

    with ThreadPoolExecutor(64) as threads:
        answers = list(threads.map(ask, windows))
    for i in range(4):
        expected = predict(model, np.concatenate(windows[i::4]))
        for states, state in zip(answers[i::4], expected, strict=True):
            for received in states:
                np.testing.assert_allclose(received[0], state, rtol=1e-4, atol=1e-4)
    metrics = server.get("/metrics")[1]
    batches = {
        float(line.split('le="')[1].split('"')[0]): float(line.split()[-1])
        for line in metrics.splitlines()
        if line.startswith("tf4dvar_batch_windows_bucket") and "+Inf" not in line
    }
    assert batches[1024] > batches[1], "nothing was computed together"


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "JSON"),
        (b'{"instances": [[[1, 2', 400, "JSON"),
        ({"instances": [[[1.0, 2.0]]]}, 400, "3 components"),
        ({"instances": [[1.0, 2.0]]}, 400, "shape"),
        ({"instances": [[[1, 2, 3]], [[1, 2, 3], [4, 5, 6]]]}, 400, "shape"),
        ({"instances": [[["/etc/passwd", 2, 3]]]}, 400, "number"),
        ({"signature_name": "__saved_model_init_op", "instances": [[[1, 2, 3]]]}, 400, "signature"),
        ({"instances": [[[0, 0, 0]]] * 41}, 413, "40 windows"),
        ({"instances": [[[0, 0, 0]] * 201]}, 413, "200 times"),
        (b" " * 200_001, 413, "200000 bytes"),
        ({"instances": [[[1e38, -1e38, 1e38], [1e38, 1e38, -1e38]]]}, 422, "not finite"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(server, body, status, word):
    received, answer = server.post(f"{NAME}:predict", body)
    assert received == status
    assert answer.keys() == {"error"}
    assert word in answer["error"]


def test_a_body_without_a_length_is_cut_off(server):
    def chunks():
        for _ in range(100):
            yield b" " * 10_000

    status, answer = server.request("POST", f"{NAME}:predict", chunks())
    assert status == 413
    assert "200000 bytes" in answer["error"]


def test_headers_are_bounded(server):
    try:
        status, _ = server.request("GET", NAME, headers={"X-Large": "x" * 3_000_000})
    except ConnectionError:
        return
    assert status in (400, 431)


def test_one_bad_request_does_not_harm_its_neighbours(server, model, observations):
    good = observations[:1]
    bodies = [{"instances": good.tolist()}, {"instances": [[[1.0] * 4] * 24]}] * 16
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda body: server.post(f"{NAME}:predict", body), bodies))
    assert [status for status, _ in answers] == [200, 400] * 16
    for _, answer in answers[::2]:
        np.testing.assert_allclose(answer["predictions"], predict(model, good), atol=1e-5)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/other",
        f"{NAME}/versions/7",
        f"{NAME}/versions/7/metadata",
        f"{NAME}/versions/{'9' * 5000}",
        f"{NAME}/versions/x",
        f"{NAME}/versions/-1",
        f"{NAME}/versions/%C2%B2",
        "/v1",
        "/../etc",
    ],
)
def test_what_is_not_there(server, path):
    status, answer = server.get(path)
    assert status == 404
    assert answer.keys() == {"error"}
    body = {"instances": [[[1, 2, 3]]]}
    assert server.post(f"{path}:predict", body)[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", f"{NAME}:predict", "POST"),
        ("PUT", f"{NAME}/versions/1:predict", "POST"),
        ("POST", NAME, "GET"),
        ("POST", f"{NAME}/versions/1/metadata", "GET"),
        ("POST", "/metrics", "GET"),
        ("DELETE", "/health", "GET"),
    ],
)
def test_a_path_says_what_it_is_for(server, method, path, allowed):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        assert response.status == 405
        assert allowed in response.headers["Allow"].split(", ")
        assert path in json.loads(response.read())["error"]


def test_status_and_metadata(server, exported):
    available = {"error_code": "OK", "error_message": ""}
    for path in (NAME, f"{NAME}/versions/1"):
        status, answer = server.get(path)
        assert status == 200
        assert answer == {
            "model_version_status": [{"version": "1", "state": "AVAILABLE", "status": available}]
        }
    status, answer = server.get(f"{NAME}/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "tf4dvar", "signature_name": "", "version": "1"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["reconstruct_with"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    sizes = signature["inputs"]["observations"]["tensor_shape"]["dim"]
    assert [dim["size"] for dim in sizes] == ["-1", "-1", "3"]
    assert signature["inputs"]["iterations"]["dtype"] == "DT_INT32"


def test_the_client_finds_labels_in_the_order_of_the_training(server, model, observations):
    """What the server tells of it is what the model has."""
    given = labelled(observations)
    permuted = given.sel(component=["z", "x", "y"])
    with server.client() as client:
        assert client.signature() == model.signature
        expected = client.predict(observations)
        states = client.predict(permuted)
        assert states.dims == permuted.dims
        xr.testing.assert_equal(states["component"], permuted["component"])
        np.testing.assert_array_equal(states.sel(component=["x", "y", "z"]), expected)
        state, cost = client.reconstruct_with(permuted, 3)
        np.testing.assert_array_equal(
            state.sel(component=["x", "y", "z"]), client.reconstruct_with(observations, 3).state
        )
        assert cost.shape == (5, 4)
        with pytest.raises(InputError, match="w is unknown"):
            client.predict(given.assign_coords(component=["x", "y", "w"]))
        with pytest.raises(InputError, match="a time step of 2 'hours'"):
            client.predict(given.isel(time=slice(None, None, 2)))


def test_error_bars_and_what_does_not_fit(server, model, observations, caplog):
    given = labelled(observations).sel(component=["z", "x", "y"])
    variance = np.full(observations.shape, 2.0, "float32")
    variance[..., 1] = np.nan
    expected = model.posterior({"observations": observations, "noise_variance": variance})
    with server.client() as client:
        found = client.posterior(observations, variance)
        turned = client.posterior(given, variance[..., [2, 0, 1]])
        caplog.clear()
        client.predict(observations)
    assert "states of the windows 0,1,3,4 do not fit" in caplog.text
    for one, other, of in zip(found, turned, expected, strict=True):
        np.testing.assert_allclose(one, of, rtol=1e-4, atol=1e-4)
        assert other.dims == given.dims
        np.testing.assert_array_equal(other.sel(component=["x", "y", "z"]), one)
    line = next(line for line in reversed(server.log()) if line.get("windows"))
    assert line["suspect"] == 4
    assert "tf4dvar_suspect_windows_total" in server.get("/metrics")[1]


def test_health_metrics_and_log(server):
    assert server.get("/health") == (200, "ok")
    server.get("/v1/models/other")
    metrics = server.get("/metrics")[1]
    assert 'tf4dvar_requests_total{endpoint="status",status="404"}' in metrics
    assert "tf4dvar_request_seconds_bucket" in metrics
    line = next(line for line in server.log() if line.get("path") == "/v1/models/other")
    assert line["status"] == 404
    assert line["method"] == "GET"


def test_versions_come_and_go(server, exported, observations):
    """The newest answers, an old one under its number, a bad one never."""
    other = new_model(iterations=4)
    save(other, exported)
    (exported / "3").mkdir()
    (exported / "3" / "saved_model.pb").write_bytes(b"no model")
    with server.client() as newest, server.client(version=1) as old:
        before = old.predict(observations)

        def states():
            return {one["version"]: one["state"] for one in newest.status()}

        server.until(lambda: states() == {"3": "END", "2": "AVAILABLE", "1": "AVAILABLE"})
        expected = predict(other, observations)
        np.testing.assert_allclose(newest.predict(observations), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(old.predict(observations), before)
        assert not np.allclose(expected, before)
        with server.client(version=3) as bad, pytest.raises(ServerError, match="404"):
            bad.predict(observations)
        assert "not a SavedModel" in newest.status()[0]["status"]["error_message"]
        for number in ("2", "3"):
            shutil.rmtree(exported / number)
        server.until(lambda: states() == {"1": "AVAILABLE"})
        np.testing.assert_array_equal(newest.predict(observations), before)


def test_the_guide_works_as_printed(server, model):
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    (section,) = re.findall(r"^## The server\n(.*?)^### ", text, re.DOTALL | re.MULTILINE)
    section = section.replace("8501", str(server.port))
    commands = re.findall(r"^    (curl .*)", section, re.MULTILINE)
    assert len(commands) == 2
    if shutil.which("curl"):
        status, prediction = (
            json.loads(subprocess.run(shlex.split(command), capture_output=True).stdout)
            for command in commands
        )
        assert status["model_version_status"][0]["state"] == "AVAILABLE"
        assert np.shape(prediction["predictions"]) == (1, 3, 3)
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    scope: dict = {}
    exec(example, scope)
    np.testing.assert_allclose(
        scope["state"], model.iterates(scope["observations"], 10).states[-1], rtol=1e-4, atol=1e-4
    )
    for name, value in asdict(Limits()).items():
        assert f"| `{name}` | {value:.0f} |" in section


def test_a_slow_client_keeps_nobody_waiting(server, observations):
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"POST /v1/models/tf4dvar:predict HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        with server.client() as client:
            client.predict(observations)
