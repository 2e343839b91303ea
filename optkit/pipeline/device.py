"""A machine elsewhere: its address, and what is run on it with the system's ssh and scp.

No shell string is built from anything that was given: commands are constants with a name of letters and digits that was
made here, and what is given (host, user, port, interpreter) is held to a pattern first.
"""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

from optkit.errors import EnvironmentFailedError, InputError

if TYPE_CHECKING:
    from pathlib import Path

_HOST = re.compile(r"(?!-)[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:]{2,45}")
_USER = re.compile(r"(?!-)[A-Za-z0-9._-]{1,64}")
# A path of an interpreter, in letters that no shell acts on.
_PYTHON = re.compile(r"(?!-)[A-Za-z0-9._/+-]{1,300}")
_CONNECT_SECONDS = 10
# A virtual environment has thousands of files, and the device may be slow.
_CLEANING_SECONDS = 60
# Both ends notice within so long that the other is gone.
_ALIVE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")
# ssh itself failed; a shell's word for a command that is not there.
_SSH_FAILED, _NO_SUCH_COMMAND = 255, 127
_CAUSES = {
    "Host key verification failed": "its host key is not the known one, or none is known; look at known_hosts",
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "its host key is not the known one; look at known_hosts",
    "Permission denied": "it takes none of the keys that ssh has; try ssh by hand",
    "Connection refused": "nothing listens at that port",
    "Could not resolve hostname": "its name is not known",
    "timed out": "it does not answer",
    "No route to host": "there is no way to it",
    "Connection closed": "the connection was lost",
    "Connection reset": "the connection was lost",
    "closed by remote host": "the connection was lost",
    "Broken pipe": "the connection was lost",
    "lost connection": "the connection was lost",
}
_DISK_CAUSES = {"No space left": "its disk is full", "Disk quota exceeded": "its disk is full"}


class Address(NamedTuple):
    """Where a machine is; ``port`` and ``user`` are ssh's own business where they are ``None``."""

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{self.host}{f':{self.port}' if self.port else ''}"

    @property
    def plain(self) -> str:
        """A name for files."""
        return re.sub(r"[^A-Za-z0-9.-]+", "-", str(self).removeprefix("ssh://"))


class DeviceLostError(EnvironmentFailedError):
    """A device dropped out; the message says at what and why."""


def address(text: str) -> Address:
    """Read ``ssh://user@host:port``.

    Raises:
        InputError: It is none.
    """
    wanted = "--on expects ssh://USER@HOST:PORT (user and port as ssh's configuration has them when left out)"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InputError(f"{wanted}, found {text!r}: {error}") from error
    # urlsplit makes the host's letters small, which names in ssh's configuration need not be.
    written = re.search(r"(?i)(?:@|//)\[?(" + re.escape(host) + r")\]?(?::\d+)?/?$", text) if host else None
    host = written[1] if written else host
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.password
    if parts.scheme != "ssh" or not _HOST.fullmatch(host) or extra:
        raise InputError(f"{wanted}, found {text!r}")
    if parts.username is not None and not _USER.fullmatch(parts.username):
        raise InputError(f"{wanted}, found the user {parts.username!r}")
    return Address(host, parts.username, port)


def check_python(text: str) -> str:
    """An interpreter's path on the device.

    Raises:
        InputError: It has letters that a shell might act on.
    """
    if not _PYTHON.fullmatch(text):
        raise InputError(
            f"--python expects a path of letters, digits and ._/+-, found {text!r}; link it to such a path"
        )
    return text


class Device:
    """A folder of our own on a machine, for a limited time.

    Args:
        where: The machine.
        seconds: After which whatever is running is given up.

    Raises:
        InputError: There is no ssh or scp here.
    """

    def __init__(self, where: Address, seconds: float) -> None:
        self.where = where
        self._end = time.monotonic() + seconds
        self._seconds = seconds
        found = [shutil.which(name) for name in ("ssh", "scp")]
        if None in found:
            raise InputError("expected the programs ssh and scp, found none; install OpenSSH's client")
        self._ssh, self._scp = (str(one) for one in found)
        # The only part of a command that is not constant; letters and digits.
        self.folder = f"optkit-{secrets.token_hex(8)}"
        self._made = False

    def __enter__(self) -> Self:
        self.run("making a folder", f"mkdir {self.folder}")
        self._made = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._made:
            # Whatever happened, nothing is left; if the machine is gone, there is nothing to be done.
            self._end = time.monotonic() + _CLEANING_SECONDS
            try:
                self.run("cleaning up", f"rm -rf {self.folder}")
            except DeviceLostError:
                return

    def run(self, what: str, command: str, *, allowed: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run a command in the login folder.

        Args:
            what: In words, for the message.
            command: A constant, with ``folder`` or what ``check_python`` returned in it and nothing else.
            allowed: Exit codes that are no failure.

        Raises:
            DeviceLostError: It failed.
        """
        port = ["-p", str(self.where.port)] if self.where.port else []
        user = ["-l", self.where.user] if self.where.user else []
        call = [self._ssh, *self._options(), *port, *user, "--", self.where.host, command]
        return self._called(what, call, allowed)

    def send(self, what: str, folder: Path, name: str) -> None:
        """Copy a local folder to ``name`` in ours.

        Raises:
            DeviceLostError: It failed.
        """
        try:
            self._called(what, [*self._copy(), "-r", "--", str(folder), f"{self._remote()}/{name}"], (0,))
        except DeviceLostError as error:
            # scp says no more than that it failed.
            needed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            free = self._free_bytes()
            if free is None or free > needed:
                raise
            raise DeviceLostError(
                f"{self.where}: failed while {what}: its disk is full: {free:,} bytes are free, {needed:,} are to come"
            ) from error

    def _free_bytes(self) -> int | None:
        """What is free where our folder is; ``None`` where the device does not tell."""
        try:
            told = self.run("looking for room", f"df -Pk {self.folder}").stdout.split()
        except DeviceLostError:
            return None
        # The heading has seven words, of a line the fourth is what is free.
        return int(told[-3]) * 1024 if len(told) > 6 and told[-3].isdigit() else None

    def fetch(self, what: str, name: str, file: Path) -> None:
        """Copy ``name`` in our folder to a local file.

        Raises:
            DeviceLostError: It failed.
        """
        self._called(what, [*self._copy(), "--", f"{self._remote()}/{name}", str(file)], (0,))

    def _options(self) -> list[str]:
        return ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_SECONDS}", *_ALIVE]

    def _copy(self) -> list[str]:
        port = ["-P", str(self.where.port)] if self.where.port else []
        return [self._scp, "-q", *self._options(), *port]

    def _remote(self) -> str:
        host = f"[{self.where.host}]" if ":" in self.where.host else self.where.host
        user = f"{self.where.user}@" if self.where.user else ""
        return f"{user}{host}:{self.folder}"

    def _called(self, what: str, call: list[str], allowed: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
        left = self._end - time.monotonic()
        try:
            # A prompt would wait for ever: nothing is to be read.
            done = subprocess.run(
                call,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=max(0.1, left),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceLostError(
                f"{self.where}: given up while {what}: its time limit of {self._seconds:g} s is over; give a longer "
                "--device-time"
            ) from error
        if done.returncode not in allowed:
            ours = call[0] == self._scp or done.returncode == _SSH_FAILED
            raise DeviceLostError(f"{self.where}: failed while {what}: {_reason(done, ours=ours)}")
        return done


def _reason(done: subprocess.CompletedProcess[str], *, ours: bool) -> str:
    """Why a call failed; ``ours`` where it was ssh or scp that failed, and not the program there."""
    said = " ".join(f"{done.stderr} {done.stdout}".split())
    for words, cause in (_CAUSES | _DISK_CAUSES if ours else _DISK_CAUSES).items():
        if words in said:
            return cause
    if done.returncode == _NO_SUCH_COMMAND:
        return "a program is missing there"
    if done.returncode == _SSH_FAILED and not said:
        return "the connection was lost"
    return said[-300:] or f"exit code {done.returncode}"
