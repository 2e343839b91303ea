"""``optkit benchmark --on``: devices behind real SSH servers, good ones and one with each fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import Result, optkit
from ssh_servers import PYTHON, Servers, available

from optkit.pipeline.bundle_subject import Given
from optkit.pipeline.on_devices import Seen, Wish, addresses, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not available(), reason="OpenSSH's server is not installed")
FILE = "prune+cluster+qat+int8.tflite"


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    # Paths of sockets and keys are short here.
    with tempfile.TemporaryDirectory(prefix="optkit-ssh-") as folder:
        made = Servers(Path(folder))
        yield made
        made.stop()


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path]:
    """A file system that is smaller than a bundle."""
    with tempfile.TemporaryDirectory(prefix="optkit-disk-") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("a small file system cannot be mounted here")
        yield Path(folder)
        subprocess.run(["umount", "--lazy", folder], check=False)


@pytest.fixture(scope="module")
def seen(servers: Servers, small_disk: Path, small_run: tuple[Path, Result]) -> dict[str, Seen]:
    """What becomes of devices that are measured at once."""
    run, result = small_run
    assert result.returncode == 0, result.stderr
    # sshd's child is the parent of the entry: the connection goes with it.
    lose = 'case "$SSH_ORIGINAL_COMMAND" in *selftest.py*) kill -9 $PPID; sleep 5 ;; esac'
    devices = {
        "good": servers.start(),
        "lost": servers.start(before=lose),
        "wrong key": servers.start(known="other"),
        "no python": servers.start(python=""),
        "old python": servers.start(python="echo Python 3.9.2"),
        "full disk": servers.start(home=small_disk),
        "nobody": "ssh://127.0.0.1:1",
        "another good one": servers.start(),
    }
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{servers.path}{os.pathsep}{before}"
    try:
        found = measure(
            [run / "artifacts" / FILE, run / "artifacts" / "fp32.onnx"],
            addresses(list(devices.values())),
            given=Given(),
            wish=Wish(PYTHON, seconds=300.0, max_time=1.0, watch=True),
        )
    finally:
        os.environ["PATH"] = before
    return dict(zip(devices, found, strict=True))


@pytest.mark.parametrize("name", ["good", "another good one"])
def test_a_device_that_works_has_a_report_of_its_own(seen: dict[str, Seen], name: str) -> None:
    report = seen[name].report
    assert report is not None, seen[name].failure
    assert [variant.format for variant in report.variants] == ["tflite", "onnx"]
    for variant in report.variants:
        assert variant.status == "ok", variant.failures
        assert variant.latency is not None
        # Not measured interleaved, so nothing is held against anything.
        assert variant.latency.speedup is None
        assert variant.latency.processes == 3
    assert report.data is not None
    assert report.data.test == 100


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lost", "failed while running the self-test: the connection was lost"),
        ("wrong key", "its host key is not the known one"),
        ("no python", f"expected Python 3.11 or later as {PYTHON}, found none"),
        ("old python", "found Python 3.9.2; install it"),
        ("full disk", "failed while sending the bundles: its disk is full"),
        ("nobody", "nothing listens at that port"),
    ],
)
def test_a_device_that_drops_out_is_named_with_the_reason(seen: dict[str, Seen], name: str, words: str) -> None:
    assert seen[name].report is None
    assert words in seen[name].failure
    assert str(seen[name].where) in seen[name].failure
    assert "\n" not in seen[name].failure


# The packages are there, and pip finds that nothing is to be fetched; what is made there is a real environment.
HAS_PACKAGES = f"export PYTHONPATH={sysconfig.get_path('purelib')}"
NO_NETWORK = "export PIP_INDEX_URL=http://127.0.0.1:9/ PIP_RETRIES=0 PIP_TIMEOUT=1"
NO_VENV = f"""case "$*" in *venv*) echo "$0: No module named venv" >&2; exit 1 ;; esac; exec {sys.executable} "$@\""""


def test_a_virtual_environment_is_made_there_and_what_hinders_it_is_named(
    servers: Servers, small_run: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, result = small_run
    assert result.returncode == 0, result.stderr
    monkeypatch.setenv("PATH", f"{servers.path}{os.pathsep}{os.environ['PATH']}")
    python = f'exec {sys.executable} "$@"'
    devices = [
        servers.start(named="python3", python=python, before=HAS_PACKAGES),
        servers.start(named="python3", python=python, before=NO_NETWORK),
        servers.start(named="python3", python=NO_VENV),
    ]
    wish = Wish(None, seconds=300.0, max_time=1.0)
    good, offline, bare = measure([run / "artifacts" / FILE], addresses(devices), given=Given(), wish=wish)
    assert good.report is not None, good.failure
    assert [variant.status for variant in good.report.variants] == ["ok"]
    assert "its pip cannot install the packages (ERROR: " in offline.failure
    assert "it needs a way to the package index" in offline.failure
    assert "its python3 makes no virtual environment" in bare.failure
    assert "No module named venv); install its module venv (Debian: python3-venv)" in bare.failure
    assert [left for home in servers.folder.glob("home-*") for left in home.glob("optkit-*")] == []


def test_a_device_has_its_time(
    servers: Servers, small_run: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = small_run
    monkeypatch.setenv("PATH", f"{servers.path}{os.pathsep}{os.environ['PATH']}")
    where = addresses([servers.start(before='case "$SSH_ORIGINAL_COMMAND" in *selftest.py*) sleep 300 ;; esac')])
    (found,) = measure([run / "artifacts" / FILE], where, given=Given(), wish=Wish(PYTHON, seconds=6.0))
    assert found.report is None
    assert "its time limit of 6 s is over" in found.failure


def test_nothing_is_left_on_a_device(seen: dict[str, Seen], servers: Servers, small_disk: Path) -> None:
    assert seen
    homes = [*servers.folder.glob("home-*"), small_disk]
    assert len(homes) > 5
    assert [left for home in homes for left in home.glob("optkit-*")] == []


def test_the_command_shows_devices_beside_this_machine(
    servers: Servers, small_run: tuple[Path, Result], tmp_path: Path
) -> None:
    run, _ = small_run
    listed = tmp_path / "devices.toml"
    listed.write_text(f'devices = ["{servers.start()}", "ssh://127.0.0.1:1"]\n', encoding="utf-8")
    out = tmp_path / "out"
    environment = {"PATH": f"{servers.path}{os.pathsep}{os.environ['PATH']}"}
    options = ("--on", str(listed), "--python", PYTHON, "--max-time", "1", "--min-time", "0.2", "--out", str(out))
    fed = ("--data", "mnist", "--scale", "1/255")
    done = optkit("benchmark", str(run / "artifacts" / FILE), *fed, *options, environment=environment)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "1 of 2 devices dropped out" in done.stderr
    assert "a report of its own" in done.stdout
    (there,) = (out / "devices").iterdir()
    report = json.loads((there / "report.json").read_text(encoding="utf-8"))
    local = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["data"]["test"] == 100
    assert local["data"]["test"] == 10_000
    assert len(local["variants"]) == len(report["variants"]) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--on", "pi@board"), "expects ssh://USER@HOST:PORT"),
        (("--on", "ssh://-oProxyCommand=true"), "expects ssh://USER@HOST:PORT"),
        (("--on", "ssh://host;reboot"), "expects ssh://USER@HOST:PORT"),
        (("--on", "ssh://a b@host"), "found the user"),
        (("--on", "ssh://host:port"), "expects ssh://USER@HOST:PORT"),
        (("--on", "none.toml"), "cannot be read"),
        (("--on", "ssh://host", "--python", "python3; reboot"), "--python expects a path of letters"),
        (("--watch",), "are about a device"),
        (("--on", "ssh://host", "--device-time", "0"), "--device-time expects seconds"),
    ],
)
def test_what_is_no_device_is_refused_before_any_work(
    small_run: tuple[Path, Result], options: tuple[str, ...], words: str
) -> None:
    run, _ = small_run
    done = optkit("benchmark", str(run / "artifacts" / FILE), "--data", "mnist", *options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
