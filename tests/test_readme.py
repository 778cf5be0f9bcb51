import re
from pathlib import Path

from tf4dvar.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_its_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    scope: dict = {}
    exec(example, scope)
    assert scope["states"].shape == (64, 100, 2)
    assert (tmp_path / "model.keras").is_file()


def test_its_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^    make ([a-z-]+)", README, re.MULTILINE))
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    used = re.findall(r"^    tf4dvar ([a-z0-9-]+)", README, re.MULTILINE)
    assert len(used) >= 6
    assert set(used) <= names | {group.name for group in app.registered_groups}
