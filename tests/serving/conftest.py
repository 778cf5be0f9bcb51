import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from tf4dvar.data import Signature
from tf4dvar.export import save
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    GaussianPosterior,
    GradientSolver,
    LSTMCell,
)
from tf4dvar.models import FourDVarNet
from tf4dvar.serving import Client

# Longer than the busiest machine needs to start TensorFlow.
DEADLINE = 120.0


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """A process of `tf4dvar serve` on loopback; it is waited for, if it shall be ready."""

    def __init__(self, directory, log, *options, port=None, ready=True):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = log
        command = [sys.executable, "-c", "from tf4dvar.cli.app import main; main()", "serve"]
        with log.open("a") as stderr:
            self.process = subprocess.Popen(
                [*command, str(directory), "--port", str(self.port), *options],
                stderr=stderr,
                stdout=stderr,
            )
        if ready:
            self.until_ready()

    def until_ready(self):
        self.until(lambda: self.get("/health")[0] == 200)

    def until(self, condition):
        """Wait for a condition as long as the process lives, until the deadline."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            with contextlib.suppress(ConnectionError):
                if condition():
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
                raise AssertionError(f"The server ended: {self.log_file.read_text()}")
        raise AssertionError(f"Not so after {DEADLINE} s: {self.log_file.read_text()}")

    def request(self, method, path, body=None, headers=None):
        """Status and JSON, or text, of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            text = response.read().decode()
        with contextlib.suppress(ValueError):
            return response.status, json.loads(text)
        return response.status, text

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body):
        return self.request("POST", path, body if isinstance(body, bytes) else json.dumps(body))

    def client(self, **options):
        return Client(self.url, timeout=DEADLINE, **options)

    def log(self):
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def stop(self):
        """Ask it to stop; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


def new_model(iterations=2):
    """So sure of its observations that its states, untrained, do not fit them."""
    network = AttentionFirstGuess(8, 8, 1, 2, weighted=True, background=True, outputs=2)
    model = FourDVarNet(
        GENN(),
        GradientSolver(LSTMCell(4), iterations),
        noise_variance=1e-6,
        uncertainty=GaussianPosterior(network),
    )
    model.build((None, None, 3))
    model.signature = Signature.of(labelled(np.random.default_rng(1).normal(size=(4, 24, 3))))
    return model


def labelled(values):
    """Hourly observations of x, y and z."""
    hours = ("time", np.arange(values.shape[1]), {"units": "hours"})
    coordinates = {"time": hours, "component": ["x", "y", "z"]}
    return xr.DataArray(values, coordinates, ("window", "time", "component"))


@pytest.fixture(scope="package")
def model():
    return new_model()


@pytest.fixture(scope="package")
def exported(model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("serving") / "served"
    save(model, directory)
    return directory


@pytest.fixture
def start(tmp_path):
    """Starts servers; none outlives its test."""
    started = []

    def start_one(directory, *options, log="log", **settings):
        server = Server(directory, tmp_path / log, *options, **settings, ready=False)
        started.append(server)
        return server

    yield start_one
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def observations(rng):
    """Five windows of 24 steps, most of it missing; one entirely."""
    values = rng.normal(size=(5, 24, 3)).astype("float32")
    values[rng.random(values.shape) < 0.7] = np.nan
    values[2] = np.nan
    return values
