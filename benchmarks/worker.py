"""One network in a process of its own, timed on request.

    python worker.py '{"library": "tensorflow", "threads": 2, "prior": "genn", ...}'

Writes a line when ready, with the seconds of the first training step (tracing included); then,
for each line `train` or `infer` that it reads, the seconds of one; at the end its peak memory.
"""

import json
import sys
import time


def main():
    settings = json.loads(sys.argv[1])
    threads, of_maps = settings.pop("threads"), settings.pop("maps", False)
    if settings.pop("library") == "torch":
        import torch
        from field_peer import make_of_maps
        from peer import make

        torch.set_num_threads(threads)
    else:
        from network import make, make_of_maps, use_threads

        # Convolutions of maps are large enough to be shared.
        use_threads(threads, threads if of_maps else 1)
    make = make_of_maps if of_maps else make
    train, infer = make(**settings)
    started = time.perf_counter()
    train()
    print(json.dumps({"first_step_s": time.perf_counter() - started}), flush=True)
    calls = {"train": train, "infer": infer}
    for line in sys.stdin:
        started = time.perf_counter()
        calls[line.strip()]()
        print(time.perf_counter() - started, flush=True)
    print(json.dumps({"peak_gb": peak_memory()}), flush=True)


def peak_memory():
    """Of this process, GB."""
    with open("/proc/self/status") as status:
        peak = next(line for line in status if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 2**20


if __name__ == "__main__":
    main()
