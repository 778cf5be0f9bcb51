"""Times of the network for maps as shares of the PyTorch peer's, and of the ceiling.

python benchmarks/against_peer_on_maps.py [--repeats 5] [--out benchmarks/results]
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from against_peer import COLUMNS, ratios, table
from timing import HERE, Worker, interleaved, measured_on

ITERATIONS = 10
KINDS = {"": {}, "recompute": {"recompute": True}, "bfloat16": {"half": True}}


def ceiling(threads):
    """See `convolutions.measure`; in a process of its own, which has so many threads."""
    command = [sys.executable, HERE / "convolutions.py", str(threads)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def compare(threads, repeats):
    """All kinds of ours and the peer, by turns."""
    settings = {"threads": threads, "maps": True, "iterations": ITERATIONS}
    ours = [Worker(library="tensorflow", **settings, **of) for of in KINDS.values()]
    *ours, peer = interleaved([*ours, Worker(library="torch", **settings)], repeats)
    alone = ceiling(threads)
    return [
        {
            "threads": threads,
            "kind": kind,
            "iterations": ITERATIONS,
            **own,
            **ratios(own, peer),
            **{
                name.replace("_s", "_share"): ITERATIONS * alone[name] / own[name]
                for name in ("train_s", "infer_s")
            },
            "peer": peer,
            "ceiling": alone,
        }
        for kind, own in zip(KINDS, ours, strict=True)
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    rows = [row for threads in (2, 1) for row in compare(threads, arguments.repeats)]
    columns = {name: of for name, of in COLUMNS.items() if name not in ("prior", "cell")}
    columns = {"threads": columns.pop("threads"), "kind": "kind", **columns}
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": measured_on(), "rows": rows}
    (arguments.out / "against_peer_on_maps.json").write_text(json.dumps(report, indent=1))
    (arguments.out / "against_peer_on_maps.md").write_text(table(rows, columns) + "\n")
    print(table(rows, columns))


if __name__ == "__main__":
    main()
