"""SIGTERM at any moment, two servers on one port, replicas that die."""

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving.conftest import DEADLINE, Server

CLIENTS = 60
NAME = "/v1/models/tf4dvar"
# Sixty of them take some seconds of a core.
INPUTS = {"observations": [[[1.0, None, None]] * 400], "iterations": 100}


def asked(server, name=f"{NAME}:predict"):
    """The connection of a client that has sent its request."""
    body = json.dumps({"signature_name": "reconstruct_with", "inputs": INPUTS}).encode()
    client = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
    head = f"POST {name} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def status(client):
    """Of the answer, or the error in its place."""
    try:
        with client, client.makefile("rb") as answer:
            return int(answer.readline().split()[1])
    except (OSError, IndexError) as error:
        return repr(error)


def after_a_burst(directory, log, seconds):
    """What clients get that sent their requests so many seconds before the signal."""
    server = Server(directory, log)
    clients = [asked(server) for _ in range(CLIENTS)]
    # No wait for something: the moment is what is tried.
    time.sleep(seconds)
    server.process.send_signal(signal.SIGTERM)
    with ThreadPoolExecutor(CLIENTS) as threads:
        answers = list(threads.map(status, clients))
    assert server.process.wait(DEADLINE) == 0
    return answers


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_who_had_asked_is_answered(exported, tmp_path, seconds):
    answers = after_a_burst(exported, tmp_path / "log", seconds)
    assert answers == [200] * CLIENTS


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 0.3, 0.5, 0.8, 1.2, 1.6, 2.0, 3.0, 4.0, 5.0])
def test_who_had_asked_is_answered_at_any_moment(exported, tmp_path, seconds):
    answers = after_a_burst(exported, tmp_path / "log", seconds)
    assert set(answers) <= {200, 503}
    assert answers.count(200) > 0
