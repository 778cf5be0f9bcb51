"""Throughput and latency of `tf4dvar serve`, against calls of the same SavedModel.

python benchmarks/serving.py [--seconds 5] [--out benchmarks/results]

Server and clients share this machine, on loopback. A request is one window in row format, its
JSON written beforehand; every answer must have status 200, and the first must be the state that
the SavedModel gives.
"""

import argparse
import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import keras
import numpy as np
from network import CELLS, EVERY, PRIORS, tf
from timing import HERE, measured_on

from tf4dvar.export import save
from tf4dvar.layers import GradientSolver
from tf4dvar.models import FourDVarNet

STEPS, COMPONENTS = 200, 3
BATCH = 32
PATH = "/v1/models/tf4dvar:predict"
LONGEST_START = 180


def direct(version, window, batch, seconds):
    """Windows per second and milliseconds of a call, by the SavedModel itself."""
    call = tf.saved_model.load(str(version)).signatures["serving_default"]
    windows = np.repeat(window, batch, axis=0)
    took = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(took) < 6:
        started = time.perf_counter()
        state = call(observations=tf.constant(windows))["state"].numpy()
        took.append(time.perf_counter() - started)
    # The first calls optimise the graph.
    took = took[3:]
    return state[:1], {"per_s": batch * len(took) / sum(took), **percentiles(took)}


def percentiles(took):
    return dict(zip(("p50_ms", "p99_ms"), 1e3 * np.percentile(took, (50, 99)), strict=True))


@contextlib.contextmanager
def server(directory, batch):
    """The port of a server of its own."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-c", "from tf4dvar.cli.app import main; main()", "serve"]
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, str(directory), "--port", str(port), "--batch", str(batch)], stderr=log
        )
        try:
            while not answers(port):
                if process.poll() is not None or time.monotonic() > started + LONGEST_START:
                    log.seek(0)
                    raise RuntimeError(f"The server did not start: {log.read().decode()}")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
            yield port, time.monotonic() - started
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def answers(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.suppress(ConnectionError), contextlib.closing(connection):
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False


class Sender:
    """A client that costs little: one connection, a request written beforehand."""

    def __init__(self, port, body):
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        self.request = head.encode() + body
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self):
        """The body of the answer."""
        self.socket.sendall(self.request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.socket.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(f"The server refused: {received[:500]}")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self.socket.recv(65536)
        return body


def load(port, body, clients, seconds):
    """Requests per second and their latency, with so many clients at once."""
    took, failures = [], []
    end = time.perf_counter() + seconds

    def client():
        sender = Sender(port, body)
        try:
            while (started := time.perf_counter()) < end:
                sender.ask()
                took.append(time.perf_counter() - started)
        except Exception as error:
            failures.append(error)
        finally:
            sender.socket.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {"per_s": len(took) / (time.perf_counter() - started), **percentiles(took)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5, help="Of each measurement.")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    seconds = arguments.seconds
    # As `tf4dvar serve` has it.
    from tf4dvar.runtime import load_tensorflow

    load_tensorflow()
    keras.utils.set_random_seed(0)
    model = FourDVarNet(PRIORS["genn"](), GradientSolver(CELLS["lstm"](), arguments.iterations))
    model.build((None, None, COMPONENTS))
    window = np.random.default_rng(0).normal(size=(1, STEPS, COMPONENTS)).astype("float32")
    window[:, :, 1:] = np.nan
    window[:, np.arange(STEPS) % EVERY > 0] = np.nan
    nested = [[[None if np.isnan(x) else float(x) for x in row] for row in window[0]]]
    body = json.dumps({"instances": nested}).encode()
    rows = []

    def add(what, batch, clients, figures):
        rows.append({"what": what, "batch": batch, "clients": clients, **figures})
        print(json.dumps(rows[-1]), flush=True)

    with tempfile.TemporaryDirectory() as directory:
        version = save(model, directory)
        for batch in (1, BATCH):
            state, figures = direct(version, window, batch, seconds)
            add("SavedModel called directly", batch, 0, figures)
        for batch in (1, BATCH):
            with server(directory, batch) as (port, start):
                received = json.loads(Sender(port, body).ask())["predictions"]
                np.testing.assert_allclose(received, state, rtol=1e-4, atol=1e-4)
                for clients in (BATCH, 1, 8, BATCH, 2 * BATCH):
                    figures = load(port, body, clients, seconds)
                    # The first round warms up.
                    if (batch, clients) != (rows[-1]["batch"], rows[-1]["clients"]):
                        add("server", batch, clients, figures)
    write(rows, start, len(body), arguments)


def write(rows, start, size, arguments):
    """The table, and the figures that are asked for."""
    per_s = {(row["what"][0], row["batch"], row["clients"]): row["per_s"] for row in rows}
    p50 = {(row["what"][0], row["batch"], row["clients"]): row["p50_ms"] for row in rows}
    summary = {
        "start_s": start,
        "overhead_of_a_request_ms": p50["s", BATCH, 1] - p50["S", 1, 0],
        "gain_of_batching": per_s["s", BATCH, BATCH] / per_s["s", 1, BATCH],
        "of_one_client": per_s["s", BATCH, BATCH] / per_s["s", BATCH, 1],
        "of_direct_batches": per_s["s", BATCH, BATCH] / per_s["S", BATCH, 0],
    }
    print(json.dumps(summary, indent=1))
    lines = ["| | batch | clients | windows/s | p50 ms | p99 ms |", "|---" * 6 + "|"]
    lines += [
        f"| {row['what']} | {row['batch']} | {row['clients'] or ''} | {row['per_s']:.0f} "
        f"| {row['p50_ms']:.1f} | {row['p99_ms']:.1f} |"
        for row in rows
    ]
    lines += ["", *(f"{name}: {value:.3g}" for name, value in summary.items())]
    report = {
        "machine": measured_on(("tensorflow", "keras", "numpy", "uvicorn")),
        "iterations": arguments.iterations,
        "request_bytes": size,
        "rows": rows,
        "summary": summary,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "serving.json").write_text(json.dumps(report, indent=1))
    (arguments.out / "serving.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
