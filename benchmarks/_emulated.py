"""A 64-bit ARM Linux in a folder: Debian's arm64 packages unpacked, wheels for aarch64, run by qemu-user.

No chroot and no binfmt: the emulator finds libraries by its ``-L``. So what runs in it can start no other program of
that processor.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

# qemu-user 7.2 of bookworm crashes in both runtimes; 10 of trixie does not.
SUITE, PYTHON = "trixie", "3.13"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_EMULATOR = "qemu-user:amd64"
_LIBRARIES = (
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    f"python{PYTHON}-minimal",
    f"libpython{PYTHON}-minimal",
    f"libpython{PYTHON}-stdlib",
    "libexpat1",
    "zlib1g",
    "libffi8",
    "libssl3t64",
    "libbz2-1.0",
    "liblzma5",
    "libsqlite3-0",
    "libuuid1",
)
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64", "manylinux_2_17_aarch64")


class Machine(NamedTuple):
    """The folder, and what was installed: package names with versions."""

    folder: Path
    packages: dict[str, str]

    def run(self, *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """Run Python there."""
        command = [str(self.folder / "host" / "usr" / "bin" / "qemu-aarch64"), "-L", str(self.folder / "root")]
        for name, place in (("PYTHONHOME", "root/usr"), ("PYTHONPATH", "site")):
            command += ["-E", f"{name}={self.folder / place}"]
        python = str(self.folder / "root" / "usr" / "bin" / f"python{PYTHON}")
        return subprocess.run(
            [*command, python, "-B", *arguments], capture_output=True, text=True, timeout=seconds, check=False
        )


def set_up(folder: Path, requirements: list[str]) -> Machine:
    """Make the folder, or use it again where its last line was written.

    Args:
        folder: Where.
        requirements: Pinned, ``name==version``.
    """
    done = folder / "packages.txt"
    wanted = "\n".join([SUITE, *_LIBRARIES, *requirements])
    if not done.is_file() or done.read_text(encoding="utf-8").partition("\n\n")[0] != wanted:
        done.unlink(missing_ok=True)
        downloaded = _download(folder / "apt")
        for package in downloaded:
            place = folder / ("root" if package.name.endswith("_arm64.deb") else "host")
            subprocess.run(["/usr/bin/dpkg", "-x", str(package), str(place)], check=True)
        # The loader's path in every program is /lib/ld-linux-aarch64.so.1, and /lib is a link in a system that runs.
        link = folder / "root" / "lib"
        if not link.exists():
            link.symlink_to("usr/lib")
        _install(folder / "site", requirements)
        names = sorted(package.name.removesuffix(".deb").replace("%3a", ":") for package in downloaded)
        done.write_text(wanted + "\n\n" + "\n".join(names) + "\n", encoding="utf-8")
    listed = done.read_text(encoding="utf-8").partition("\n\n")[2].split()
    packages = dict(one.rsplit("_", 1)[0].split("_", 1) for one in listed)
    return Machine(folder, packages | dict(one.split("==") for one in requirements))


def _download(folder: Path) -> list[Path]:
    """The packages, through an apt of its own, so that the machine's sources stay as they are."""
    for name in ("etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial", "packages"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    line = f"deb [arch=amd64,arm64 signed-by={_KEYRING}] {_mirror()} {SUITE} main\n"
    (folder / "etc" / "sources.list").write_text(line, encoding="utf-8")
    settings = {
        "Dir::Etc::sourcelist": folder / "etc" / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": "amd64",
        "APT::Architectures::": "arm64",
        "APT::Sandbox::User": "root",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    packages = [_EMULATOR, *(f"{name}:arm64" for name in _LIBRARIES)]
    for step in (["update"], ["download", *packages]):
        subprocess.run(
            ["/usr/bin/apt-get", *options, "-o", "APT::Architectures::=amd64", *step],
            check=True,
            cwd=folder / "packages",
            stdout=subprocess.DEVNULL,
        )
    return sorted((folder / "packages").glob("*.deb"))


def _mirror() -> str:
    """Where this machine gets Debian's packages from; every mirror has all of its suites."""
    listed = subprocess.run(
        ["/usr/bin/apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Component: main"],
        check=True,
        capture_output=True,
        text=True,
    )
    found = [one for one in listed.stdout.split() if "security" not in one]
    if not found:
        raise SystemExit("apt has no source of Debian's own packages: run apt-get update on a Debian machine first")
    return found[0]


def _install(folder: Path, requirements: list[str]) -> None:
    """Wheels for aarch64, with what they need."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(folder)]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON]
    for platform in _PLATFORMS:
        command += ["--platform", platform]
    for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none"):
        command += ["--abi", abi]
    subprocess.run([*command, *requirements], check=True)
