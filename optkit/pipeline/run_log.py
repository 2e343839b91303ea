"""The log of a run: what is kept off the screen goes to ``log.txt`` in its folder."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

LOG = logging.getLogger("optkit")


class _QuietHandler(logging.FileHandler):
    """A full disk is reported once, as the error that it is, and not again for every line of the log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the base class's signature
        """Say nothing."""


class logged:  # noqa: N801  # used as a function: a context manager with state
    """Sends the package's log to ``log.txt`` in the run folder, with the traceback of the error that ends a run.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._handler = _QuietHandler(folder / "log.txt", encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def __enter__(self) -> Self:
        LOG.setLevel(logging.INFO)
        LOG.propagate = False
        LOG.addHandler(self._handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None:
            LOG.error("run ended: %s", kind.__name__ if kind else "", exc_info=error)
            if isinstance(error, Exception):
                error.add_note(f"log: {self._handler.baseFilename}")
        LOG.removeHandler(self._handler)
        self._handler.close()
