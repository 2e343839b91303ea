"""SSH servers on localhost that stand for devices: each with a home folder of its own, and one with each fault."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SSHD = "/usr/sbin/sshd"
SFTP = next((one for one in ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server") if Path(one).exists()), None)
# What the devices call the interpreter that has the runtime.
PYTHON = "optkit-python"


def available() -> bool:
    """Whether a server can be started: it must run as the one who logs in."""
    return Path(SSHD).exists() and SFTP is not None and shutil.which("ssh") is not None


@dataclass
class Servers:
    """Starts servers; ``path`` goes before PATH, and has an ssh and an scp that read the settings made here."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.chmod(0o700)
        self._running: list[subprocess.Popen[bytes]] = []
        for name in ("key", "host", "other"):
            self._call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))
        shutil.copyfile(self.folder / "key.pub", self.folder / "authorized")
        (self.folder / "authorized").chmod(0o600)
        (self.folder / "known").touch()
        settings = [
            f"IdentityFile {self.folder / 'key'}",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {self.folder / 'known'}",
            "StrictHostKeyChecking yes",
        ]
        (self.folder / "settings").write_text("\n".join(settings) + "\n", encoding="utf-8")
        self.path = self.folder / "bin"
        self.path.mkdir()
        for name in ("ssh", "scp"):
            self._program(self.path / name, f'exec {shutil.which(name)} -F {self.folder / "settings"} "$@"\n')

    def start(
        self,
        *,
        before: str = "",
        python: str = f'exec {sys.executable} -B "$@"',
        named: str = PYTHON,
        known: str = "host",
        home: Path | None = None,
    ) -> str:
        """Start a device.

        Args:
            before: Shell lines that run before each command.
            python: A shell line that is the interpreter; empty where it has none.
            named: What the interpreter is called.
            known: Whose key is noted as the device's: ``host``, its own, or ``other``.
            home: Its login folder; one of its own when ``None``.

        Returns:
            Its address.
        """
        number = len(self._running)
        place = home or self.folder / f"home-{number}"
        place.mkdir(exist_ok=True)
        programs = self.folder / f"programs-{number}"
        programs.mkdir()
        if python:
            self._program(programs / named, f"{python}\n")
        entry = self.folder / f"entry-{number}"
        lines = [f"cd {place}", f"PATH={programs}:$PATH", before, 'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"']
        self._program(entry, "\n".join(lines) + "\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = [
            f"Port {port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder / 'host'}",
            f"AuthorizedKeysFile {self.folder / 'authorized'}",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            f"ForceCommand {entry}",
            f"Subsystem sftp {SFTP}",
        ]
        file = self.folder / f"server-{number}"
        file.write_text("\n".join(settings) + "\n", encoding="utf-8")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        log = str(self.folder / f"log-{number}")
        self._running.append(subprocess.Popen([SSHD, "-D", "-f", str(file), "-E", log], stdin=subprocess.DEVNULL))
        key = (self.folder / f"{known}.pub").read_text(encoding="utf-8").rsplit(" ", 1)[0]
        with (self.folder / "known").open("a", encoding="utf-8") as stream:
            stream.write(f"[127.0.0.1]:{port} {key}\n")
        self._wait(port)
        return f"ssh://127.0.0.1:{port}"

    def stop(self) -> None:
        """End all of them."""
        for server in self._running:
            server.terminate()
            server.wait()

    @staticmethod
    def _wait(port: int) -> None:
        end = time.monotonic() + 20
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert time.monotonic() < end, "the SSH server does not start"
            time.sleep(0.05)

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
        path.chmod(0o755)

    @staticmethod
    def _call(*command: str) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
