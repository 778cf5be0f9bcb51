import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def lines_of(settings, calls):
    """What a worker prints for some settings and calls."""
    return subprocess.run(
        [sys.executable, BENCHMARKS / "worker.py", json.dumps(settings)],
        input="".join(f"{call}\n" for call in calls),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


@pytest.mark.long
def test_a_worker_times_what_it_is_asked():
    settings = {"library": "tensorflow", "threads": 1, "prior": "rk4", "cell": "lstm"}
    small = {"iterations": 2, "batch": 2, "steps": 20}
    first, train, infer, peak = lines_of(settings | small, ("train", "infer"))
    assert json.loads(first)["first_step_s"] > float(train) > 0
    assert float(infer) > 0
    assert 0.1 < json.loads(peak)["peak_gb"] < 4


@pytest.mark.slow
def test_recomputed_iterations_take_the_memory_of_few():
    settings = {"library": "tensorflow", "threads": 2, "prior": "genn", "cell": "lstm"}
    peaks = [
        json.loads(lines_of(settings | {"iterations": k, "recompute": True}, ())[-1])["peak_gb"]
        for k in (5, 40)
    ]
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.slow
def test_the_server_is_measured_against_its_model(tmp_path):
    command = [sys.executable, BENCHMARKS / "serving.py", "--seconds", "0.5", "--out", tmp_path]
    subprocess.run([*command, "--iterations", "2"], check=True)
    report = json.loads((tmp_path / "serving.json").read_text())
    rates = {(row["batch"], row["clients"]): row["per_s"] for row in report["rows"]}
    assert set(rates) == {(b, c) for b in (1, 32) for c in (0, 1, 8, 32, 64)}
    assert min(rates.values()) > 0
    assert report["summary"]["gain_of_batching"] == rates[32, 32] / rates[1, 32]
