"""SIGTERM at any moment, two servers on one port, replicas that die."""

import asyncio
import collections
import contextlib
import gc
import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette

from tests.serving.conftest import DEADLINE, free_port
from tf4dvar.serving.server import _listen, _Server

pytestmark = pytest.mark.long

CLIENTS = 60
NAME = "/v1/models/tf4dvar"


def asked(server, iterations=100):
    """The connection of a client that has sent its request; sixty take some seconds of a core."""
    inputs = {"observations": [[[1.0, None, None]] * 400], "iterations": iterations}
    body = json.dumps({"signature_name": "reconstruct_with", "inputs": inputs}).encode()
    client = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
    head = f"POST {NAME}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def status(client):
    """Of the answer, or the error in its place."""
    try:
        with client, client.makefile("rb") as answer:
            return int(answer.readline().split()[1])
    except (OSError, IndexError) as error:
        return repr(error)


def after_a_burst(server, seconds, **settings):
    """What clients get that sent their requests so many seconds before the signal."""
    server.until_ready()
    clients = [asked(server, **settings) for _ in range(CLIENTS)]
    # No wait for something: the moment is what is tried.
    time.sleep(seconds)
    server.process.send_signal(signal.SIGTERM)
    with ThreadPoolExecutor(CLIENTS) as threads:
        answers = list(threads.map(status, clients))
    assert server.process.wait(DEADLINE) == 0
    return answers


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_who_had_asked_is_answered(exported, start, seconds):
    answers = after_a_burst(start(exported), seconds)
    assert answers == [200] * CLIENTS


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 0.3, 0.5, 0.8, 1.2, 1.6, 2.0, 3.0, 4.0, 5.0])
def test_who_had_asked_is_answered_at_any_moment(exported, start, seconds):
    answers = after_a_burst(start(exported), seconds, iterations=200)
    assert set(answers) <= {200, 503}
    assert answers.count(200) > 0


def test_newcomers_are_refused_while_the_accepted_are_answered(exported, start):
    server = start(exported)
    server.until_ready()
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, timeout=60) as accepted:
        accepted.sendall(
            b"POST /v1/models/tf4dvar:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 28\r\n\r\n"
        )
        server.until(lambda: "in_progress 1.0" in server.get("/metrics")[1])
        server.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionError):
            while True:
                # One that is let in and waits for nobody ends the test with a TimeoutError.
                with socket.create_connection(address, timeout=5) as newcomer:
                    newcomer.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                    newcomer.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)
        accepted.sendall(b'{"instances": [[[1, 2, 3]]]}')
        assert accepted.recv(1000).startswith(b"HTTP/1.1 200")
    assert server.process.wait(60) == 0


def test_nobody_is_left_waiting_whichever_turn_of_the_loop_took_them_in():
    """Somebody comes in every turn, to the last; garbage collection would hide who is left."""

    async def in_every_turn():
        listener = _listen("127.0.0.1", 0)
        address = listener.getsockname()
        settings = {"lifespan": "off", "http": "h11", "ws": "none"}
        server = _Server(uvicorn.Config(Starlette(), timeout_graceful_shutdown=5, **settings))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0)
        server.should_exit = True
        newcomers = collections.deque()
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                newcomers.append(socket.create_connection(address, timeout=5))
                await asyncio.sleep(0)
                if len(newcomers) > 100:
                    newcomers.popleft().close()
        await serving
        return newcomers

    gc.disable()
    try:
        newcomers = asyncio.run(in_every_turn())
        assert len(newcomers) == 100
        for newcomer in newcomers:
            with newcomer, contextlib.suppress(ConnectionError):
                assert newcomer.recv(1) == b""
    finally:
        gc.enable()


def test_stop_in_the_middle_and_restart(exported, start, model, observations):
    """After SIGTERM what was accepted is answered, what comes later is refused at once."""
    server = start(exported)
    server.until_ready()
    body = json.dumps({"instances": observations.tolist()}).encode()
    stopping = []

    def ask_until_refused(_):
        answered = []
        while True:
            asked_before_the_signal = not stopping
            try:
                status, answer = server.post(f"{NAME}:predict", body)
            except ConnectionError:
                return answered
            answered.append((status, answer, asked_before_the_signal and bool(stopping)))

    with ThreadPoolExecutor(16) as threads:
        clients = [threads.submit(ask_until_refused, i) for i in range(16)]
        server.until(lambda: server.log_file.read_text().count(":predict") > 32)
        stopping.append(True)
        assert server.stop() == 0
        answers = [one for client in clients for one in client.result()]
    assert {status for status, *_ in answers} == {200}
    expected = model.predict(observations, verbose=0)
    for _, answer, _ in answers:
        np.testing.assert_allclose(answer["predictions"], expected, atol=1e-5)
    assert any(in_flight for *_, in_flight in answers)
    # None was computed and its answer lost.
    assert sum(line.get("status") == 200 for line in server.log()) == len(answers)
    assert not [line for line in server.log() if line["level"] in ("error", "critical")]

    again = start(exported, log="again", port=server.port)
    again.until_ready()
    status, answer = again.post(f"{NAME}:predict", body)
    assert status == 200
    np.testing.assert_allclose(answer["predictions"], expected, atol=1e-5)
    assert again.stop() == 0


def children(process):
    """Processes of a server: its replicas."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(number) for number in listed.split()]


def gone(number):
    """Whether a process has ended; one that nobody waited for is a zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("moment", ["listening", "replica", "loading"])
def test_a_server_that_loads_ends_at_once(exported, start, moment):
    """It has a port, or a replica, or one that is amid the import of TensorFlow."""
    server = start(exported)
    server.until(lambda: server.get("/health") == (503, "not ready"))
    refused, answer = server.post(f"{NAME}:predict", {"instances": [[[1, 2, 3]]]})
    assert refused == 503
    assert "no replica is ready" in answer["error"].lower()
    if moment != "listening":
        server.until(lambda: children(server.process))
        (replica,) = children(server.process)
    if moment == "loading":
        server.until(lambda: "tensorflow" in Path(f"/proc/{replica}/maps").read_text())
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 10
    if moment != "listening":
        assert gone(replica)
    assert not [line for line in server.log() if line["level"] == "error"]


def test_of_two_servers_at_once_one_has_the_port(exported, start):
    port = free_port()
    servers = [start(exported, log=name, port=port) for name in ("one", "two")]
    end = time.monotonic() + DEADLINE
    while all(server.process.poll() is None for server in servers):
        assert time.monotonic() < end
        time.sleep(0.05)
    (loser,) = [server for server in servers if server.process.poll() is not None]
    assert loser.process.returncode == 2
    (line,) = loser.log_file.read_text().splitlines()
    assert line.startswith(f"Error: Port {port} of 127.0.0.1 is in use")
    (winner,) = [server for server in servers if server is not loser]
    winner.until_ready()
    assert winner.stop() == 0


def test_a_replica_that_dies_is_told_and_started_again(exported, start):
    server = start(exported)
    server.until_ready()
    for said in ("signal 9 (Killed)", "signal 11 (Segmentation fault)"):
        (replica,) = children(server.process)
        with ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(status, asked(server)) for _ in range(4)]
            os.kill(replica, int(said.split()[1]))
            assert {one.result() for one in waiting} <= {200, 503}
        server.until(lambda said=said: said in server.log_file.read_text())
        server.until_ready()
        assert status(asked(server)) == 200
    lines = [line for line in server.log() if line["level"] == "error"]
    assert len(lines) == 2
    assert all(line["message"].endswith("it is started again") for line in lines)
    assert server.stop() == 0


@pytest.mark.parametrize("loaded", [True, False])
def test_nothing_stays_behind_a_server_that_is_killed(exported, start, loaded):
    server = start(exported)
    if loaded:
        server.until_ready()
    server.until(lambda: children(server.process))
    (replica,) = children(server.process)
    server.process.kill()
    server.process.wait()
    with socket.create_server(("127.0.0.1", server.port)):
        pass
    end = time.monotonic() + DEADLINE
    while not gone(replica):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_signals_to_all_processes_are_as_one_to_the_first(exported, start):
    """As Ctrl-C is sent, and what systemd sends to a whole group."""
    server = start(exported)
    server.until_ready()
    client = asked(server)
    server.until(lambda: "in_progress 1.0" in server.get("/metrics")[1])
    for number in (*children(server.process), server.process.pid):
        os.kill(number, signal.SIGINT)
        os.kill(number, signal.SIGTERM)
    assert status(client) == 200
    assert server.process.wait(DEADLINE) == 0
    assert not [line for line in server.log() if line["level"] == "error"]
