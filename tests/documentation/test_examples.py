"""What the documentation shows is run: Python of pages and docstrings, and commands.

Blocks of a page share their variables and a folder, in their order. Blocks marked `sh` are run,
indented commands are read by the command line without being run: they would take minutes.
"""

import ast
import re
import shlex
import textwrap
from importlib import import_module
from pathlib import Path

import keras
import numpy as np
import pytest
import sympy
import tensorflow as tf
import typer
import xarray as xr
from typer.testing import CliRunner

from tf4dvar.cli.app import app
from tf4dvar.systems import Lorenz63, sample_windows

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))
}
# The guide to serving needs exported models; tests/export/test_guide.py has them and runs it.
RUN = set(PAGES) - {"docs/serving.md"}
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN = re.compile(r"^    ((?:tf4dvar|make) .*)$", re.MULTILINE)
EXAMPLE = re.compile(r"Example: `(.*?)`")
USAGE = re.compile(r"^Usage:\n\n((?:    .*\n|\n)+)", re.MULTILINE)
SOURCES = {str(path.relative_to(ROOT)): path for path in ROOT.glob("tf4dvar/**/*.py")}


@pytest.mark.long
@pytest.mark.parametrize(
    "name", sorted(name for name in RUN if BLOCK.search(PAGES[name].read_text()))
)
def test_a_page_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = PAGES[name].read_text()
    scope = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        language, code = block.groups()
        if language == "python":
            # Empty lines before, so that an error names the line of the page.
            lines_before = text.count("\n", 0, block.start(2))
            exec(compile("\n" * lines_before + code, name, "exec"), scope)
            continue
        for line in code.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "tf4dvar", line
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, (line, result.output)


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_a_page_exist(name):
    makefile = (ROOT / "Makefile").read_text()
    for line in SHOWN.findall(PAGES[name].read_text()):
        program, *arguments = shlex.split(line, comments=True)
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE), line
        else:
            read(arguments)


@pytest.mark.parametrize("name", PAGES)
def test_rows_of_a_page_belong_to_a_table(name):
    for table in re.findall(r"(?:^\|.*\n)+", PAGES[name].read_text(), re.MULTILINE):
        head, *rows = table.splitlines()
        assert re.fullmatch(r"(\| ?:?-+:? ?)+\|", rows[0] if rows else ""), head
        assert {row.count("|") - row.count("\\|") for row in (head, *rows)} == {rows[0].count("|")}


def test_examples_of_commands_are_right():
    examples = [e for path in SOURCES.values() for e in EXAMPLE.findall(path.read_text())]
    assert len(examples) > 15
    # Those of the methods are made from their names.
    groups = typer.main.get_command(app).commands
    methods = groups["assimilate"].commands | groups["cycle"].commands
    made = [e for command in methods.values() for e in EXAMPLE.findall(command.help)]
    assert len(made) >= len(methods) > 8
    examples += made
    for example in examples:
        program, *arguments = shlex.split(example)
        assert program == "tf4dvar"
        read(arguments)


def read(arguments):
    """Let the command line read arguments, which fails on what it does not know."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and not arguments[0].startswith("-"):
        name, *arguments = arguments
        assert name in command.commands, name
        command = command.commands[name]
    if arguments != ["--help"]:
        command.make_context(command.name, list(arguments))


def usages():
    """The examples of docstrings by the name of what they document."""
    for source, path in SOURCES.items():
        # What speaks to a server is run with one, by the tests of serving.
        if "serving" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                for code in USAGE.findall((ast.get_docstring(node) or "") + "\n"):
                    yield pytest.param(textwrap.dedent(code), id=f"{source}:{node.name}")


@pytest.mark.long
@pytest.mark.parametrize("code", list(usages()))
def test_an_example_of_a_docstring_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = sample_windows(Lorenz63(), 4, 16)
    every_fourth = np.arange(16)[:, None] % 4 == 0
    scope = {
        "keras": keras,
        "np": np,
        "tf": tf,
        "xr": xr,
        "sympy": sympy,
        "truth": truth,
        "observations": np.where(every_fourth, truth, np.nan),
    }
    for module in ("systems", "systems.symbolic", "data", "layers", "models"):
        scope |= vars(import_module(f"tf4dvar.{module}"))
    exec(compile(code, "usage", "exec"), scope)
