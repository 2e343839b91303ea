"""What cannot be used is refused before any work: exit code 2, one message, nothing written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import OPTKIT, SMALL, optkit

import optkit as package

WRONG = {
    "unknown baseline": (["--baseline", "lenet"], "did you mean lenet5"),
    "unknown technique": (["--recipe", "prun+int8"], "did you mean prune"),
    "unknown parameter": (["--recipe", "prune:sparse=0.5+int8"], "did you mean sparsity"),
    "out of range": (["--recipe", "prune:sparsity=1.2+int8"], "sparsity"),
    "unknown precision": (["--recipe", "prune+int7"], "did you mean int8"),
    "no precision": (["--recipe", "prune"], "for example prune:sparsity=0.8+int8"),
    "step named twice": (["--recipe", "prune+prune+int8"], "named twice"),
    "unknown format": (["--formats", "tflte"], "did you mean tflite"),
    "unknown option": (["--recpe", "int8"], "--recipe"),
    "seed out of range": (["--seed", "-1"], "seed"),
    "no number": (["--epochs", "many"], "epochs"),
    "unknown io": (["--io", "int4"], "io"),
    "unknown calibration method": (["--calibration-method", "mean"], "one of entropy, minmax, percentile"),
    "unknown preference": (["--prefer", "beauty"], "prefer"),
    "opset out of range": (["--opset", "3"], "opset"),
    "no format": (["--formats", ","], "found none"),
    "empty folder name": (["--out", ""], "found an empty one"),
    "folder name too long": (["--out", "a" * 300], "File name too long"),
    "more calibration images than there are": (["--quick", "--calibration-count", "6001"], "6000 training images"),
    "missing recipe file": (["--recipe", "none.toml"], "none.toml"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(tmp_path: Path, case: str) -> None:
    arguments, message = WRONG[case]
    result = optkit("compress", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_the_command_too() -> None:
    run = [sys.executable, "-m", "optkit", "--help"]
    result = subprocess.run(run, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[1:] == optkit("--help").stdout.splitlines()[1:]
    assert "benchmark" in result.stdout


def test_an_unknown_command_is_named_with_near_matches(tmp_path: Path) -> None:
    result = optkit("compres", cwd=tmp_path)
    assert result.returncode == 2
    assert "did you mean compress" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--nothing"], "No such option '--nothing'; see "),
        (["benchmark"], "Missing argument 'FILE...'; see "),
        (["benchmark", "a.tflite", "--min-time", "soon"], "'soon' is not a valid float; see "),
        (["compress", "--recpe", "int8"], "--recipe"),
        (["compres"], "did you mean compress"),
        (["report"], "Missing argument"),
    ],
)
def test_what_the_command_line_cannot_be_is_one_line_that_names_the_help(
    tmp_path: Path, arguments: list[str], found: str
) -> None:
    result = optkit(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert found in line
    assert line.endswith(" --help")


@pytest.mark.parametrize("word", ["no\nsuch.tflite", "no\x1bsuch\r\n.tflite", "\udcff\udcfe.tflite"])
def test_names_with_line_breaks_or_of_no_text_are_one_line(tmp_path: Path, word: str) -> None:
    result = optkit("inspect", word, cwd=tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: expected ")
    assert line.isprintable()


def test_a_folder_that_is_no_text_or_gone_is_refused(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)  # noqa: PTH102  # a name in bytes
    run = [*OPTKIT, "list", "techniques"]
    result = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    gone = ["bash", "-c", 'rmdir "$PWD" && exec "$@"', "bash", *run]
    (tmp_path / "gone").mkdir()
    result = subprocess.run(gone, cwd=tmp_path / "gone", capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.splitlines()[-1][:29]) == (2, "Error: expected to be run in ")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_a_sign_shows_another(encoding: str) -> None:
    surroundings = {**os.environ, "PYTHONIOENCODING": encoding}
    result = subprocess.run([*OPTKIT, "list"], env=surroundings, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert b"clusters=16 (" in result.stdout


def test_the_json_file_is_not_the_model(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"not read yet")
    for arguments in (("inspect",), ("predict", "a.png"), ("benchmark",), ("diff", "a.tflite", "--data", "mnist")):
        command, *rest = arguments
        result = optkit(command, "a.tflite", *rest, "--json", "a.tflite", cwd=tmp_path)
        assert result.returncode == 2
        assert "what is to be read" in result.stderr
    assert (tmp_path / "a.tflite").read_bytes() == b"not read yet"


def test_a_toml_file_with_an_unknown_key(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[[recipe]]\nsteps = [{name = 'int8', parms = {}}]\n")
    result = optkit("compress", "--recipe", "mine.toml", cwd=tmp_path)
    assert result.returncode == 2
    assert "parms" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(("text", "message"), [("", "is empty"), ("a = " + "[" * 5000, "not TOML"), ("a", "not TOML")])
def test_a_toml_file_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    result = optkit("compress", "--recipe", "mine.toml", cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr


def test_an_output_folder_that_is_a_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    result = optkit("compress", "--out", "out", cwd=tmp_path)
    assert result.returncode == 2
    assert "found a file" in result.stderr
    assert (tmp_path / "out").read_text() == "mine"


HELD = {
    "compress": ("report.json", "manifest.json"),
    "train": ("train.json", "manifest.json"),
    "tune": ("tune.json",),
    "benchmark": ("report.json",),
}
COMMANDS = {
    "compress": ("compress",),
    "train": ("train",),
    "tune": ("tune", "--search", "batch=16,32"),
    "benchmark": ("benchmark", "a.tflite"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("held", HELD)
def test_the_folder_of_another_command_is_left_alone(tmp_path: Path, command: str, held: str) -> None:
    if command == held:
        pytest.skip("its own folder")
    (tmp_path / "out").mkdir()
    for name in HELD[held]:
        (tmp_path / "out" / name).write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    result = optkit(*COMMANDS[command], "--out", "out", cwd=tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert f"for optkit {command}, found out, which holds a run of optkit {held}; choose another" in line
    assert sorted(tmp_path.rglob("*")) == before


def test_the_folder_with_the_data_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    for arguments in (("compress", "m.keras"), ("train",), ("tune", "--search", "batch=16,32")):
        result = optkit(*arguments, "--data", "photos", "--out", str(tmp_path / "photos"), cwd=tmp_path)
        assert result.returncode == 2
        assert "apart from what the run reads" in result.stderr
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat"]


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/sys").is_dir(), reason="needs a folder that is read-only")
def test_an_output_folder_that_cannot_be_written() -> None:
    result = optkit("compress", "--out", "/proc/sys/optkit")
    assert result.returncode == 2
    assert "can be written" in result.stderr


def test_a_damaged_data_file(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(Path(package.__file__).parent, copy / "optkit")
    archive = copy / "optkit" / "data" / "mnist.npz"
    archive.chmod(0o644)
    with archive.open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"damage")
    result = optkit("compress", "--out", str(tmp_path / "run"), cwd=copy)
    assert result.returncode == 2
    assert "damaged" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_layer_to_skip_that_matches_nothing(tmp_path: Path) -> None:
    result = optkit("compress", *SMALL, "--skip-layer", "dense_9", "--out", str(tmp_path / "run"))
    assert result.returncode == 2
    assert "dense_9" in result.stderr
    assert "dense_1" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_file_that_fails_is_marked_and_the_others_are_there(tmp_path: Path) -> None:
    """A copy of the package whose int8 exporter calibrates on noise instead of images."""
    copy = tmp_path / "copy"
    shutil.copytree(Path(package.__file__).parent, copy / "optkit")
    stages = copy / "optkit" / "pipeline" / "stages.py"
    whole = stages.read_text()
    broken = whole.replace(
        "return dataset.real(raw[:], form)",
        "return dataset.real(raw[:], form) * 255",
    )
    assert broken != whole
    stages.write_text(broken)
    folder = tmp_path / "run"
    result = optkit("compress", *SMALL, "--recipe", "int8", "--formats", "tflite", "--out", str(folder), cwd=copy)
    assert result.returncode == 4, result.stdout + result.stderr
    assert "int8.tflite" in result.stderr
    assert {path.name for path in (folder / "artifacts").iterdir()} == {"fp32.tflite", "int8.tflite"}
    assert '"status": "failed"' in (folder / "report.json").read_text()
