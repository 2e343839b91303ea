"""What tasks say, and what it means when they no longer do."""

from __future__ import annotations

from typing import Any

from optkit import workers
from optkit.engines._folders import DamagedError
from optkit.errors import EnvironmentFailedError


class LostError(Exception):
    """An attempt came to nothing for reasons that are not the trial's; the message says which."""


def following(generator: Any) -> dict[str, Any]:
    """The next message of a task; it waits for it.

    Raises:
        LostError: Its node or its process is gone, or what it said.
        EnvironmentFailedError: Its node has other packages.
        InternalError: A defect in what runs on the node.
    """
    import ray

    try:
        message: dict[str, Any] = ray.get(next(generator))
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, EnvironmentFailedError | DamagedError | OSError):
            raise LostError(f"{type(cause).__name__}: {cause}") from error
        raise workers.as_error("a task on a node", workers.as_failure(cause)) from error
    except (ray.exceptions.RayError, StopIteration) as error:
        lines = str(error).strip().splitlines() or [""]
        raise LostError(f"{type(error).__name__}: {lines[0][:200]}".rstrip(": ")) from error
    if message["event"] == "refused":
        raise EnvironmentFailedError(
            f"the node {message['node']} has {message['message']}: install there what is here, then run the same "
            "command again"
        )
    return message
