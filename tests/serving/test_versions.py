import json
import os
import shutil
import socket
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from tests.serving.conftest import Server, new_model
from tf4dvar.cli.app import app
from tf4dvar.errors import InputError
from tf4dvar.export import save
from tf4dvar.serving import versions as versions_module
from tf4dvar.serving.directory import check_directory
from tf4dvar.serving.protocol import WITH_ITERATIONS, Call
from tf4dvar.serving.versions import Version, Versions

pytestmark = pytest.mark.long


def test_a_stranger_is_refused_unless_forced(exported, model, observations, tmp_path):
    shutil.copytree(exported / "1", tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "assets.extra")
    with pytest.raises(InputError, match="force=True"):
        Version(tmp_path / "1")
    state = Version(tmp_path / "1", force=True)(Call(observations, False))["state"]
    np.testing.assert_allclose(state, model.predict(observations, verbose=0), atol=1e-5)


def test_other_signatures_are_refused_even_if_forced(tmp_path):
    module = tf.Module()
    module.call = tf.function(
        lambda path: {"state": tf.io.read_file(path)},
        input_signature=[tf.TensorSpec((), tf.string, name="path")],
    )
    tf.saved_model.save(module, tmp_path / "1", signatures=module.call)
    with pytest.raises(InputError, match=r"no signature serving_default\(observations\)"):
        Version(tmp_path / "1", force=True)


def test_a_damaged_version_is_told_and_passed_over(exported, tmp_path):
    for number in "12":
        shutil.copytree(exported / "1", tmp_path / number)
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"damaged")
    versions = Versions(tmp_path)
    versions.refresh()
    assert versions.get(None)[0] == 1
    newest, oldest = versions.status(None)["model_version_status"]
    assert (newest["version"], newest["state"]) == ("2", "END")
    assert "saved_model.pb is not the file" in newest["status"]["error_message"]
    assert (oldest["version"], oldest["state"]) == ("1", "AVAILABLE")


def pipe_for_a_card(version):
    card = version / "assets.extra" / "card.json"
    card.unlink()
    os.mkfifo(card)


def pipe_for_a_graph(version):
    (version / "saved_model.pb").unlink()
    os.mkfifo(version / "saved_model.pb")


BAD = {
    "a pipe for its card": (pipe_for_a_card, "card.json, which is neither"),
    "a pipe for its graph": (pipe_for_a_graph, "saved_model.pb, which is neither"),
    "a link to itself": (lambda version: (version / "odd").symlink_to("odd"), "odd, which is"),
    "a link out": (lambda version: (version / "odd").symlink_to("/etc"), "odd, which is"),
    "a file too many": (lambda version: (version / "odd").touch(), "odd, which was not exported"),
    "a name that is no text": (
        lambda version: (version / os.fsdecode(b"\xff")).touch(),
        "udcff, which was not exported",
    ),
    "no card": (lambda version: shutil.rmtree(version / "assets.extra"), "No such file"),
    "nothing": (lambda version: shutil.rmtree(version) or version.mkdir(), "No such file"),
}


@pytest.mark.parametrize("make", BAD)
def test_a_bad_version_is_judged_alone(exported, make, tmp_path, caplog):
    """It is said once; versions on both sides of it come and go as without it."""
    for number in "12":
        shutil.copytree(exported / "1", tmp_path / number)
    spoil, said = BAD[make]
    spoil(tmp_path / "2")
    check_directory(tmp_path, force=False)
    versions = Versions(tmp_path)
    versions.refresh()
    shutil.copytree(exported / "1", tmp_path / "3")
    versions.refresh()
    assert states(versions) == {3: "AVAILABLE", 2: "END", 1: "AVAILABLE"}
    shutil.rmtree(tmp_path / "3")
    versions.refresh()
    assert states(versions) == {2: "END", 1: "AVAILABLE"}
    assert versions.get(None)[0] == 1
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said in line
    (status,) = versions.status(2)["model_version_status"]
    assert said in orjson.loads(orjson.dumps(status))["status"]["error_message"]


@pytest.mark.parametrize("error", [PermissionError(13, "Denied"), MemoryError(), RecursionError()])
def test_whatever_is_wrong_with_a_version_the_others_are_served(
    exported, error, tmp_path, monkeypatch
):
    for number in "123":
        shutil.copytree(exported / "1", tmp_path / number)
    check = versions_module.check_digests

    def checked(version, card):
        if version.name == "2":
            raise error
        check(version, card)

    monkeypatch.setattr(versions_module, "check_digests", checked)
    versions = Versions(tmp_path)
    versions.refresh()
    assert states(versions) == {3: "AVAILABLE", 2: "END", 1: "AVAILABLE"}


def test_another_version_in_the_place_of_one_is_noticed(exported, tmp_path, observations):
    """Its files have the sizes and the times of the old ones."""
    other = new_model()
    shutil.copytree(exported / "1", tmp_path / "1")
    save(other, tmp_path / "other")
    versions = Versions(tmp_path)
    versions.refresh()

    def take_the_place(source):
        old = {path.relative_to(tmp_path / "1"): path.stat() for path in files(tmp_path / "1")}
        shutil.rmtree(tmp_path / "1")
        shutil.copytree(source, tmp_path / "1")
        for path in files(tmp_path / "1"):
            times = old[path.relative_to(tmp_path / "1")]
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        versions.refresh()

    take_the_place(tmp_path / "other" / "1")
    assert states(versions) == {1: "AVAILABLE"}
    state = versions.get(1)[1](Call(observations, False))["state"]
    np.testing.assert_allclose(state, other.predict(observations, verbose=0), atol=1e-5)

    graph = tmp_path / "other" / "1" / "saved_model.pb"
    graph.write_bytes(bytes(graph.stat().st_size))
    take_the_place(tmp_path / "other" / "1")
    assert states(versions) == {1: "END"}


def files(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


def states(versions):
    listed = versions.status(None)["model_version_status"]
    return {int(one["version"]): one["state"] for one in listed}


def test_a_directory_is_served_if_one_of_its_versions_can_be(exported, tmp_path):
    (tmp_path / "2").mkdir()
    with pytest.raises(InputError, match="2 is not a SavedModel"):
        check_directory(tmp_path, force=False)
    shutil.copytree(exported / "1", tmp_path / "1")
    check_directory(tmp_path, force=False)


def test_a_graph_without_a_digest_may_be_damaged_too(exported, tmp_path):
    """As one that an earlier release exported, or a stranger's that is forced."""
    whole = (exported / "1" / "saved_model.pb").read_bytes()
    shutil.copytree(exported / "1", tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "assets.extra")
    for content in (b"", b"damaged", whole[: len(whole) // 2], whole[:-1]):
        (tmp_path / "1" / "saved_model.pb").write_bytes(content)
        with pytest.raises(InputError, match="cannot be loaded"):
            Version(tmp_path / "1", force=True)


@pytest.mark.parametrize(
    "change",
    [
        {"iterations": "many"},
        {"unrolled": 1},
        {"packages": ["tf4dvar"]},
        {"format": None},
        {"sha256": "none"},
    ],
)
def test_a_card_that_makes_no_sense_is_a_strangers(exported, change, tmp_path):
    shutil.copytree(exported / "1", tmp_path / "1")
    card = tmp_path / "1" / "assets.extra" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | change))
    with pytest.raises(InputError, match="force=True"):
        Version(tmp_path / "1")


def test_a_version_seen_half_copied_is_loaded_when_it_is_complete(exported, tmp_path):
    versions = Versions(tmp_path)
    for name in ("assets.extra", "saved_model.pb", "variables", "fingerprint.pb"):
        source, target = exported / "1" / name, tmp_path / "1" / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
        versions.refresh()
        (status,) = versions.status(None)["model_version_status"]
        complete = (tmp_path / "1" / "fingerprint.pb").exists()
        assert status["state"] == ("AVAILABLE" if complete else "END")
    assert versions.get(None)[0] == 1


def test_a_version_that_failed_is_not_tried_again_unchanged(exported, tmp_path, caplog):
    shutil.copytree(exported / "1", tmp_path / "1")
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"damaged")
    versions = Versions(tmp_path)
    for _ in range(3):
        versions.refresh()
    assert caplog.text.count("is refused") == 1


def recorded(version):
    """The shapes that the version's compiled graph gets, as they come."""
    compiled, shapes = version._loaded.signatures["serving_default"], []

    def record(observations):
        shapes.append(tuple(observations.shape))
        return compiled(observations=observations)

    looped = version._loaded.signatures["reconstruct_with"]
    signatures = {"serving_default": record, "reconstruct_with": looped}
    version._loaded = SimpleNamespace(signatures=signatures)
    return shapes


@pytest.mark.slow
def test_a_compiled_graph_sees_few_sizes_of_batches(observations, tmp_path):
    model = new_model()
    version = Version(save(model, tmp_path, unroll=True))
    shapes = recorded(version)
    expected = model.predict(observations, verbose=0)
    for windows in (5, 4, 3):
        state = version(Call(observations[:windows], False))["state"]
        np.testing.assert_allclose(state, expected[:windows], atol=1e-5)
    assert [shape[0] for shape in shapes] == [8, 4, 4]


def test_requests_cannot_have_ever_more_compiled(exported, model, observations, monkeypatch):
    """XLA keeps what it compiled: beyond some shapes the loop gives the same states."""
    monkeypatch.setattr(versions_module, "COMPILED_SHAPES", 2)
    version = Version(exported / "1")
    # As its card would say of an unrolled one, which takes long to compile.
    version._compiled = True
    shapes = recorded(version)
    for steps in (24, 23, 22, 21, 24, 22):
        windows = observations[:1, :steps]
        outputs = version(Call(windows, False))
        assert outputs.keys() == {"state"}
        np.testing.assert_allclose(
            outputs["state"], model.predict(windows, verbose=0), rtol=1e-5, atol=1e-5
        )
    assert [shape[1] for shape in shapes] == [24, 23, 24]
    assert version(Call(observations, False, WITH_ITERATIONS, 1))["cost"].shape == (5, 2)


def fail(*arguments):
    result = CliRunner().invoke(app, ["serve", *map(str, arguments)])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_mistakes_are_answered_in_one_line(exported, tmp_path):
    assert "no version" in fail(tmp_path)
    assert "no version" in fail(tmp_path / "none")
    (tmp_path / "1").mkdir()
    assert "--force" in fail(tmp_path)
    assert "127.0.0.1" in fail(exported, "--host", "example.org")
    for limit in ("windows", "windows=0", "windows=x", "colour=1"):
        assert limit in fail(exported, "--limit", limit)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in fail(exported, "--port", taken.getsockname()[1])


@pytest.mark.slow
def test_a_server_without_a_model_does_not_start(exported, tmp_path):
    shutil.copytree(exported / "1", tmp_path / "1")
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(AssertionError, match="Error: No replica could load a model"):
        Server(tmp_path, tmp_path / "log")
