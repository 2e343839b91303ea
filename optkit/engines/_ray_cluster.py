"""Joining a Ray cluster and leaving it, and what nodes it has; Ray is imported here and in ``ray`` alone."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PORT = 6379
CONNECT_SECONDS = 5.0


class Node(NamedTuple):
    """A node that is alive: its name, Ray's identifier of it, and what it has for tasks, memory in bytes."""

    name: str
    identifier: str
    cores: float
    memory: int


def check(address: str | None) -> None:
    """Refuse what cannot be before any work is done.

    Raises:
        InputError: The package ray is missing, or no cluster is at the address.
    """
    found = importlib.util.find_spec("ray")
    # A folder of that name, such as a run's, is a package without a file.
    if found is None or found.origin is None:
        raise InputError(
            "--engine ray needs the package ray, which is not installed; pip install 'optkit[ray]' on every node, or "
            "leave --engine out for this machine alone"
        )
    if address is None:
        return
    host, port = _parts(address)
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"--address expects the head node of a Ray cluster, found nothing at {host}:{port} "
            f"({error.strerror or error}); start it there: ray start --head"
        ) from error


def _parts(address: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        InputError: They cannot be read.
    """
    host, _, port = address.partition(":") if address.count(":") <= 1 else address.rpartition(":")
    if not host or "/" in address or (port and not (port.isdecimal() and 0 < int(port) < 1 << 16)):
        raise InputError(
            f"--address expects HOST or HOST:PORT of the head node (port {PORT} by default), found {address!r}; run "
            "optkit on a node of the cluster"
        )
    return host, int(port or PORT)


def connect(address: str | None, log: Path) -> None:
    """Join the cluster at an address, or start Ray on this machine.

    Raises:
        InputError: It cannot be joined.
    """
    import ray

    # What is lost is told by the engine, in its own words; without a handler Python prints Ray's on the screen.
    logging.getLogger("ray").addHandler(logging.NullHandler())
    settings: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address is None:
        settings |= {"address": "local", "include_dashboard": False}
    else:
        host, port = _parts(address)
        settings |= {"address": f"{host}:{port}"}
    try:
        with _quiet(log):
            ray.init(**settings)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise InputError(
            f"--engine ray cannot join the cluster at {address or 'this machine'}: {reason}; run optkit on a node of "
            "it (ray start --address HOST:PORT), with the same Ray and the same token"
        ) from error


def leave(log: Path) -> None:
    """Leave the cluster, or end what was started here."""
    import ray

    with _quiet(log):
        ray.shutdown()


@contextlib.contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """What Ray prints while it joins or leaves goes to the log."""
    with log.open("ab") as stream:
        before = os.dup(2)
        try:
            os.dup2(stream.fileno(), 2)
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


def nodes() -> list[Node]:
    """Nodes that are alive, by name."""
    import ray

    found = []
    for one in ray.nodes():
        if not one["Alive"]:
            continue
        # Without --node-name, Ray names a node by its address.
        given = one.get("NodeName") or ""
        name = given if given and given != one["NodeManagerAddress"] else one["NodeManagerHostname"]
        resources = one["Resources"]
        found.append(Node(name, one["NodeID"], resources.get("CPU", 0.0), int(resources.get("memory", 0))))
    return sorted(found)


def timing_node(name: str | None) -> Node:
    """The node that files are timed on: by its name, else this one.

    Raises:
        InputError: There is none of that name, or more than one.
    """
    import ray

    found = nodes()
    if name is None:
        own = ray.get_runtime_context().get_node_id()
        return next(one for one in found if one.identifier == own)
    named = [one for one in found if one.name == name]
    if len(named) != 1:
        count = "none" if not named else f"{len(named)} of that name"
        known = sorted({one.name for one in found})
        raise InputError(
            f"--latency-node expects a node of the cluster, found {count}: {nearest(name, known)} "
            "(a node's name is what ray start --node-name gave it, else its host's)"
        )
    return named[0]


def on(node: Node) -> Any:
    """A task's strategy: that node and no other."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node.identifier, soft=False)


def task(name: str, *arguments: Any) -> Iterator[Any]:
    """What Ray runs: the generator ``module:function``, with the node's name in each of its messages."""
    module, _, attribute = name.partition(":")
    here = own_name()
    for message in getattr(importlib.import_module(module), attribute)(*arguments):
        yield {**message, "node": here}


@functools.cache
def own_name() -> str:
    """The name of the node that this process is on; asked once, since a large cluster is a long answer."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    return next((one.name for one in nodes() if one.identifier == own), own[:12])


def fetch(refs: Sequence[Any]) -> list[bytes]:
    """Contents out of the object store."""
    import ray

    found: list[bytes] = ray.get(list(refs))
    return found


def cancel(generator: Any) -> None:
    """End a task, at once and with all that it has started."""
    import ray

    with contextlib.suppress(Exception):
        ray.cancel(generator, force=True)
