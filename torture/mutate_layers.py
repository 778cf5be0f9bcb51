"""Changes the layers in one place at a time, and asks whether their tests notice (cosmic-ray 8).

python torture/mutate_layers.py [--changes 100] [--seed 0]

mutmut wraps every function, and Keras looks at the signature of `call`; cosmic-ray changes the file
itself. It does so in a copy of the tree that git knows, in a temporary folder. A sample, since a
change takes ten seconds; of the operators those that a slip of the pen is like.
"""

import argparse
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = (
    *("cost", "gradient", "normalisation", "observation_operators"),
    *("priors/flow", "first_guesses/interpolation", "odes/bilinear", "odes/lorenz96"),
)
TESTS = (
    *("cost", "flow", "gradient", "interpolation", "lorenz96_ode", "observation_operators", "ode"),
    *("adjoint", "contracts", "normalisation"),
)
OPERATORS = re.compile(
    "Add_Sub|Sub_Add|Mul_Div|Div_Mul|Pow_Mul|NumberReplacer|Delete|AddNot|False|True|AndWith|OrWith"
    "|Eq_NotEq|NotEq_Eq|Gt_GtE|Gt_Lt|Lt_|GtE_Gt|Is_|RemoveDecorator|ZeroIteration"
)
SECONDS = 120


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cosmic_ray = shutil.which("cosmic-ray") or sys.exit("pip install 'cosmic-ray>=8.7'")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tree"
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        (folder / "mutate.toml").write_text(configuration())

        def run(*command):
            subprocess.run([cosmic_ray, *command], cwd=folder, check=True)

        run("init", "mutate.toml", "session.sqlite")
        keep_a_sample(folder / "session.sqlite", options.changes, options.seed)
        run("baseline", "mutate.toml")
        run("exec", "mutate.toml", "session.sqlite")
        report(folder / "session.sqlite")


def configuration():
    files = ", ".join(f'"tf4dvar/layers/{module}.py"' for module in MODULES)
    tests = " ".join(f"tests/layers/test_{test}.py" for test in TESTS)
    # From the copy, though the tree itself is what is installed.
    command = f"env PYTHONPATH=. {sys.executable} -m pytest -x -q -n 0 -p no:cacheprovider {tests}"
    return (
        f"[cosmic-ray]\nmodule-path = [{files}]\ntimeout = {SECONDS}.0\nexcluded-modules = []\n"
        f'test-command = "{command}"\n[cosmic-ray.distributor]\nname = "local"\n'
    )


def keep_a_sample(session, changes, seed):
    with sqlite3.connect(session) as database:
        # A change's place tells which it is; its job's name is drawn anew in every session.
        rows = database.execute(
            "SELECT module_path, operator_name, occurrence, job_id FROM mutation_specs"
        )
        places = sorted(row for row in rows if OPERATORS.search(row[1]))
        sample = random.Random(seed).sample(places, min(changes, len(places)))
        print(f"{len(sample)} of {len(places)} changes", flush=True)
        database.execute("CREATE TEMPORARY TABLE kept (job_id)")
        database.executemany("INSERT INTO kept VALUES (?)", [row[-1:] for row in sample])
        for table in ("mutation_specs", "work_items"):
            database.execute(f"DELETE FROM {table} WHERE job_id NOT IN (SELECT job_id FROM kept)")


def report(session):
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "SELECT test_outcome, module_path, operator_name, start_pos_row, diff "
            "FROM work_results JOIN mutation_specs USING (job_id)"
        ).fetchall()
    outcomes = Counter()
    for outcome, module, operator, line, diff in rows:
        outcomes[outcome.split(".")[-1].lower()] += 1
        if "survived" in outcome.lower():
            print(f"\nnot noticed: {module}:{line} {operator}\n{diff}")
    print(dict(outcomes))


if __name__ == "__main__":
    main()
