"""How jobs become trials, how their files go from one machine to another, and how many fit in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from optkit import recipes, store
from optkit.engines import Surroundings, Wishes, _folders, _memory, _trials, check_wishes
from optkit.engines._folders import DamagedError, Entry
from optkit.engines.processes import Processes
from optkit.errors import InputError
from optkit.pipeline import jobs
from optkit.pipeline.plan import make_plan
from optkit.pipeline.settings import resolve
from optkit.search.choose_engine import idle_words, read_engine
from optkit.workers import Job, Tell

GB = 1_000_000_000


def planned(*texts: str, **settings: object) -> list[Job]:
    """The jobs of a run of these recipes."""
    chosen, _ = resolve({"baseline": "mlp-128", "formats": ["tflite", "onnx"], **settings}, [])
    plan = make_plan(chosen, [recipes.parse(text) for text in texts], "data")
    costs = {("train", model.name): 1.0 for model in plan.models}
    return list(jobs._jobs(plan, Path("run"), costs, 784).values())


def test_what_several_recipes_need_is_a_trial_of_its_own() -> None:
    found = {
        trial.name: trial
        for trial in _trials.group(planned("fp32", "prune:epochs=1+int8", "prune:epochs=1+qat+int8", "qat+int8"))
    }
    assert set(found) == {"train baseline", "train prune", "fp32", "prune+int8", "prune+qat+int8", "qat+int8"}
    assert [job.name for job in found["qat+int8"].jobs] == [
        "train qat",
        *("export qat+int8.onnx", "check qat+int8.onnx", "export qat+int8.tflite", "check qat+int8.tflite"),
    ]
    assert found["train prune"].after == {"train baseline"}
    assert found["prune+int8"].after == found["prune+qat+int8"].after == {"train prune"}
    baseline, pruned = found["train baseline"].makes, found["train prune"].makes
    assert (found["train prune"].needs, found["fp32"].needs, found["qat+int8"].needs) == (baseline,) * 3
    # What it makes itself does not come from elsewhere.
    assert found["prune+qat+int8"].needs == pruned
    assert len(set(found["prune+qat+int8"].makes)) == 5


def test_threads_are_those_that_were_asked_for_and_another_number_is_another_file() -> None:
    two, three = ({job.name: job for job in planned("qat+int8", train_threads=number)} for number in (2, 3))
    assert {job.threads for job in two.values() if job.name.startswith("train")} == {2}
    assert two["train baseline"].arguments["threads"] == two["train qat"].arguments["threads"] == 2
    for name, job in two.items():
        assert job.arguments["key"] != three[name].arguments["key"]


def test_whole_texts_are_replaced_wherever_they_stand() -> None:
    value = {"a": "data", "b": ["data", {"c": "data.npz", "data": 1}], "d": None, "e": ("data",)}
    assert _trials.replaced(value, {"data": "there"}) == {
        "a": "there",
        "b": ["there", {"c": "data.npz", "data": 1}],
        "d": None,
        "e": ["there"],
    }


def stage(folder: Path, key: str, content: bytes) -> None:
    """A stage with one file."""
    store.prepare_folder(folder)
    path = folder / "models" / f"{key}.bin"
    store.write_bytes(path, content)
    store.save_stage(folder, store.StageRecord(key, key, [store.describe_file(folder, path)], {}, 0.0))


def test_stages_come_over_whole(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    stage(here, "one", b"1")
    stage(here, "two", b"2")
    entries = _folders.stages(here, ["one", "two"])
    assert [entry.path for entry in entries] == ["models/one.bin", "models/two.bin", "cache/one.json", "cache/two.json"]
    store.prepare_folder(there)
    _folders.unpack_stages(there, entries, _folders.read(here, entries), ["one", "two"])
    assert store.load_stage(there, "one") == store.load_stage(here, "one")
    assert (there / "models" / "two.bin").read_bytes() == b"2"


REFUSED = {
    "a bit": (lambda entries, contents: (entries, [b"0", *contents[1:]]), "models/one.bin has the SHA-256"),
    "a file less": (lambda entries, contents: (entries, contents[1:]), "expected 2 files, found 1"),
    "a path up": (
        lambda entries, contents: ([Entry("../out", entries[0].sha256), entries[1]], contents),
        "leaves the folder",
    ),
    "an absolute path": (
        lambda entries, contents: ([Entry("/out", entries[0].sha256), entries[1]], contents),
        "leaves the folder",
    ),
    "no record": (lambda entries, contents: (entries[:1], contents[:1]), "did not come as a whole"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_what_was_sent_is_refused(tmp_path: Path, case: str) -> None:
    change, message = REFUSED[case]
    here, there = tmp_path / "here", tmp_path / "there"
    stage(here, "one", b"1")
    store.prepare_folder(there)
    entries = _folders.stages(here, ["one"])
    changed: Any = change(entries, _folders.read(here, entries))
    with pytest.raises(DamagedError, match=message):
        _folders.unpack_stages(there, *changed, ["one"])
    assert store.load_stage(there, "one") is None
    assert not (tmp_path / "out").exists()


def test_a_stage_that_is_not_whole_is_not_sent(tmp_path: Path) -> None:
    stage(tmp_path, "one", b"1")
    (tmp_path / "models" / "one.bin").write_bytes(b"2")
    with pytest.raises(DamagedError, match="one of its files differs"):
        _folders.stages(tmp_path, ["one"])


def test_the_users_files_keep_their_names_and_pairs_stay_pairs(tmp_path: Path) -> None:
    there = tmp_path / "there"
    for name in ("a/x.npy", "b/x.npy", "photos/cat/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    for given in (str(tmp_path / "photos"), f"{tmp_path}/a/x.npy,{tmp_path}/b/x.npy", f"{tmp_path}/a/x.npy"):
        named, files, entries = _folders.of_paths(given)
        _folders.unpack(there, entries, [path.read_bytes() for path in files])
        first, *others = [Path(one) for one in _folders.in_folder(named, there).split(",")]
        read = (first / "cat" / "1.png") if first.is_dir() else first
        assert read.read_text() == ("photos/cat/1.png" if first.is_dir() else "a/x.npy")
        assert [one.read_text() for one in others] == (["b/x.npy"] if "," in given else [])


def machine(tmp_path: Path, available_kib: int, **cgroup: str) -> tuple[Path, Path]:
    """A kernel's account of memory."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal:       99999999 kB\nMemAvailable:   {available_kib} kB\n")
    for name, text in cgroup.items():
        (tmp_path / name.replace("_", ".")).write_text(text)
    return meminfo, tmp_path


def test_free_memory_is_at_most_what_the_container_has_left(tmp_path: Path) -> None:
    assert _memory.free_bytes(*machine(tmp_path, 1_000)) == 1_024_000
    whole = {"memory_max": "max\n", "memory_current": "5\n", "memory_stat": "inactive_file 0\n"}
    assert _memory.free_bytes(*machine(tmp_path, 1_000, **whole)) == 1_024_000
    # The page cache goes when memory is wanted.
    part = {"memory_max": "900000\n", "memory_current": "500000\n", "memory_stat": "anon 1\ninactive_file 100000\n"}
    assert _memory.free_bytes(*machine(tmp_path, 1_000, **part)) == 500_000


@pytest.mark.parametrize(("free", "a_trial", "count"), [(10 * GB, 3 * GB, 3), (10 * GB, 9 * GB, 1), (GB, 9 * GB, 1)])
def test_as_many_trials_fit_as_nine_tenths_of_free_memory_hold(free: int, a_trial: int, count: int) -> None:
    assert _memory.fitting(free, a_trial) == count


def nothing(tell: Tell, *, key: str) -> str:  # noqa: ARG001
    """A job."""
    return key


def test_worker_processes_are_as_many_as_memory_allows_and_the_user_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    surroundings = Surroundings(tmp_path, (), "null", {"PYTHONPATH": str(Path(__file__).parent)}, say=said.append)
    running: set[str] = set()
    most: list[int] = []

    def on_event(job: Job, message: dict[str, Any]) -> None:
        (running.add if message["event"] == "started" else running.discard)(job.name)
        most.append(len(running))

    wanted = [Job(str(key), "test_engines:nothing", {"key": str(key)}, threads=64) for key in range(4)]
    with Processes(surroundings, Wishes(workers=3, trial_memory_bytes=10**15)) as engine:
        assert engine.run(wanted[:2], on_event=on_event) == {"0": "0", "1": "1"}
        assert max(most) == 1
    with Processes(surroundings, Wishes(workers=3)) as engine:
        engine._free = 100 * GB
        assert len(engine.run(wanted, on_event=on_event)) == 4
    assert max(most) == 3
    assert said[0].startswith("Worker processes: 1, fewer than the 3 that were asked for; ")
    assert said[0].endswith("is enough for 1 at 1000000.0 GB each (declared).")
    assert said[-1].startswith("Worker processes: 3; ")
    (fact,) = engine.facts()
    assert fact.startswith("Stages ran in up to 3 worker processes at once; the largest took 0.")


WRONG = {
    "no such engine": (
        {"engine": "rya"},
        "--engine expects one of local, processes, ray, found 'rya': did you mean ray",
    ),
    "workers of no processes": ({"workers": 2}, "--workers is for --engine processes, found --engine local"),
    "a node of no cluster": ({"engine": "processes", "latency_node": "a"}, "--latency-node is for --engine ray"),
    "memory of this machine": ({"trial_memory": "2GB"}, "--trial-memory is for --engine processes and ray"),
    "no amount": ({"engine": "processes", "trial_memory": "2"}, "found no unit"),
    "no worker": ({"engine": "processes", "workers": 0}, "--workers expects a number from 1 to 1,024, found 0"),
    "no recipe": ({"batch": 0}, "--batch expects a number from 1 to 10,000, found 0"),
    "another word": ({"engin": "ray"}, "did you mean engine"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_engine_gets_what_it_takes_and_nothing_else(case: str) -> None:
    given, message = WRONG[case]
    with pytest.raises(InputError, match=message):
        read_engine(given)


def test_more_workers_than_are_ever_busy_are_told() -> None:
    assert idle_words(read_engine({"engine": "processes", "workers": 2})) is None
    words = idle_words(read_engine({"engine": "processes", "workers": 8, "batch": 4}))
    assert words is not None
    assert "no more than 4 of 8 worker processes" in words
    assert read_engine({}) == ("local", Wishes(), 2)


MISSING = """
import sys
class Without:
    def __init__(self, finder): self.finder = finder
    def find_spec(self, name, *more): return None if name == "ray" else self.finder.find_spec(name, *more)
    def __getattr__(self, name): return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from optkit.cli.main import main
sys.argv[1:] = ["compress", "--max-size", "9KB", "--engine", "ray"]
main()
"""


def test_without_the_package_ray_one_line_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "needs the package ray" in line
    assert "pip install 'optkit[ray]'" in line
    assert list(tmp_path.iterdir()) == []


def test_the_other_engines_do_not_need_it() -> None:
    code = "import sys; from optkit.search.choose_engine import read_engine; read_engine({'engine': 'processes'})"
    code += "; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    check_wishes("local", Wishes())
