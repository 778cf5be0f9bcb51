import sys

import pytest

from tf4dvar import own_code
from tf4dvar.errors import InputError
from tf4dvar.own_code import import_own


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, of whose modules nothing is left afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(own_code, "IMPORTED", [])
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        del sys.modules[name]


def test_a_module_is_found_by_its_name_or_its_path_and_run_once(folder):
    (folder / "own_one.py").write_text("values = []\n")
    (folder / "deep").mkdir()
    (folder / "deep" / "own_two.py").write_text("from own_one import values\nvalues.append(1)\n")
    found = import_own("own_one")
    assert import_own("./own_one.py") is found
    import_own("deep/own_two.py")
    assert import_own("deep/own_two.py").values is found.values
    assert found.values == [1]


def test_what_was_imported_is_known_to_workers_elsewhere(folder, monkeypatch):
    (folder / "own_three.py").write_text("")
    found = import_own("own_three")
    (module, place), *others = own_code.IMPORTED
    assert not others
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert import_own(module, place) is found


def test_mistakes_are_named(folder):
    with pytest.raises(InputError, match=r"There is no module nowhere in .* nor one that is insta"):
        import_own("nowhere")
    with pytest.raises(InputError, match=r"There is no file .*nowhere.py"):
        import_own("nowhere.py")
    (folder / "own_lack.py").write_text("import not_there_at_all\n")
    with pytest.raises(
        InputError, match="Importing own_lack raises ModuleNotFoundError: No module"
    ):
        import_own("own_lack")
    (folder / "own_fault.py").write_text("value = 1\nvalue / 0\n")
    with pytest.raises(InputError, match=r"ZeroDivisionError: .*own_fault.py, line 2\)"):
        import_own("own_fault.py")
    (folder / "own_typo.py").write_text("def f(:\n")
    with pytest.raises(InputError, match=r"SyntaxError: .*own_typo.py, line 1"):
        import_own("own_typo")
    (folder / "json.py").write_text("")
    with pytest.raises(InputError, match="A module json is there already"):
        import_own("json.py")
