"""The run folder: whole files only, damage noticed, one run at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from optkit import store
from optkit.errors import InputError
from optkit.store import StageRecord


def _record(folder: Path, name: str = "a.bin") -> StageRecord:
    path = folder / "artifacts" / name
    store.write_bytes(path, b"content")
    return StageRecord("key", "stage", [store.describe_file(folder, path)], {"x": 1}, 0.5)


def test_a_stage_is_found_again(tmp_path: Path) -> None:
    store.prepare_folder(tmp_path)
    record = _record(tmp_path)
    store.save_stage(tmp_path, record)
    assert store.load_stage(tmp_path, "key") == record


def test_a_damaged_missing_or_unreadable_stage_is_not_used(tmp_path: Path) -> None:
    store.prepare_folder(tmp_path)
    store.save_stage(tmp_path, _record(tmp_path))
    made = tmp_path / "artifacts" / "a.bin"
    made.write_bytes(b"Content")
    assert store.load_stage(tmp_path, "key") is None
    made.unlink()
    assert store.load_stage(tmp_path, "key") is None
    store.save_stage(tmp_path, _record(tmp_path))
    assert store.load_stage(tmp_path, "key") is not None
    (tmp_path / "cache" / "key.json").write_bytes(b'{"key": "key", "stage"')
    assert store.load_stage(tmp_path, "key") is None
    assert store.load_stage(tmp_path, "other") is None


def test_a_changed_result_is_noticed_although_it_is_valid_json(tmp_path: Path) -> None:
    store.prepare_folder(tmp_path)
    store.save_stage(tmp_path, _record(tmp_path))
    path = tmp_path / "cache" / "key.json"
    whole = path.read_text()
    for damaged in (whole.replace('"x": 1', '"x": 2'), "[]", "{}", '{"record": null, "sha256": "0"}'):
        assert damaged != whole
        path.write_text(damaged)
        assert store.load_stage(tmp_path, "key") is None
    path.write_text(whole)
    assert store.load_stage(tmp_path, "key") is not None


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    store.write_bytes(target, b"old")

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write_atomically(target, fail)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(InputError, match="found a file"):
        store.prepare_folder(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"mine"


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="can be written"):
        store.prepare_folder(tmp_path / "file" / "out")


def test_a_second_run_stops_and_the_lock_goes_with_a_killed_process(tmp_path: Path) -> None:
    store.prepare_folder(tmp_path)
    code = (
        "import sys, time, pathlib; from optkit import store\n"
        "with store.locked(pathlib.Path(sys.argv[1]), 'train'):\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {holder.pid}"), store.locked(tmp_path, "train"):
            pass
        holder.kill()
    with store.locked(tmp_path, "train"):
        pass


@pytest.mark.parametrize("command", store.RESULTS)
def test_the_folder_of_another_command_is_refused_finished_or_killed(tmp_path: Path, command: str) -> None:
    finished, killed, both = tmp_path / "finished", tmp_path / "killed", tmp_path / "both"
    for folder in (finished, killed, both):
        folder.mkdir()
    for name in store.RESULTS[command]:
        (finished / name).write_text("{}")
        (both / name).write_text("{}")
    with store.locked(killed, command), store.locked(both, command):
        pass
    for folder in (finished, killed, both):
        store.check_own(folder, command)
        for other in store.RESULTS:
            if other != command:
                with pytest.raises(InputError, match=rf"for optkit {other}, found .* a run of optkit {command};"):
                    store.check_own(folder, other)


@pytest.mark.parametrize("note", ["", "4711", "4711 train 3", "\0"])
def test_a_folder_of_no_command_is_anyones(tmp_path: Path, note: str) -> None:
    (tmp_path / store.LOCK_NAME).write_text(note)
    (tmp_path / "manifest.json").write_text("of something else")
    for command in store.RESULTS:
        store.check_own(tmp_path, command)
        store.check_own(tmp_path / "none", command)
        store.check_own(tmp_path / ("a" * 300), command)


def test_a_run_is_kept_apart_from_what_it_reads(tmp_path: Path) -> None:
    out, data = tmp_path / "out", tmp_path / "data"
    (out / "models").mkdir(parents=True)
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    for path in (out / "models" / "prune.keras", out / "mine.keras", data / "train.csv"):
        path.write_text("")
    for folder, path in ((data, data), (tmp_path / "link", data), (out, out / "models" / "prune.keras")):
        with pytest.raises(InputError, match=r"apart from what the run reads, found .* for MODEL "):
            store.check_apart(folder, {"MODEL": str(path)})
    store.check_apart(out, {"MODEL": str(out / "mine.keras"), "--data": str(data), "--calibration": None})
    store.check_apart(data, {"MODEL": "mnist", "--data": str(data / "train.csv"), "--calibration": "a" * 300})
    store.check_apart(data / "run", {"--data": str(data)})


def test_temporary_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    store.prepare_folder(tmp_path)
    left = tmp_path / "artifacts" / f"{store.TEMPORARY_PREFIX}1-int8.tflite"
    left.write_bytes(b"half")
    with store.locked(tmp_path, "train"):
        assert not left.exists()


def test_digest_depends_on_content_and_not_on_the_order_of_keys() -> None:
    assert store.digest({"a": 1, "b": [1.5]}) == store.digest({"b": [1.5], "a": 1})
    assert store.digest({"a": 1}) != store.digest({"a": 2})


def test_a_file_that_is_read_and_a_device_are_not_written_over(tmp_path: Path) -> None:
    model, other = tmp_path / "a.tflite", tmp_path / "b.json"
    model.write_bytes(b"model")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.json").symlink_to(model)
    for target, found in (
        (model, "what is to be read"),
        (tmp_path / "link.json", "what is to be read"),
        (tmp_path / "pipe", "a pipe or a device"),
        (Path("/dev/null"), "a pipe or a device"),
    ):
        with pytest.raises(InputError, match=f"--json expects a file .*{found}"):
            store.check_can_write(target, "--json", (tmp_path / "none", "mnist", model))
    store.check_can_write(other, "--json", (model,))
    other.write_text("{}")
    store.check_can_write(other, "--json", (model,))


def test_a_folder_in_the_making_is_cleared_once_its_process_is_dead(tmp_path: Path) -> None:
    out = tmp_path / "a [b] c"
    filling = (
        "import sys, time; from pathlib import Path; from optkit import store\n"
        "with store.folder_in_the_making(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x'); print(folder, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", filling, str(out)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with store.folder_in_the_making(out) as ours:
            # Somebody fills it: it is let alone, and so are those for another name.
            assert (theirs / "half").is_file()
            process.kill()
            process.wait()
        other = theirs.with_name(f"{theirs.name}d")
        other.mkdir()
        assert not ours.exists()
        assert theirs.is_dir()
        with store.folder_in_the_making(out) as ours:
            assert not theirs.exists()
            assert other.is_dir()
            ours.rename(out)
    assert sorted(one.name for one in tmp_path.iterdir()) == [other.name, out.name]
