"""Groups jobs to trials: what one machine makes in one go, with what others must have made before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optkit.workers import Job


class Trial(NamedTuple):
    """Jobs of one label, in their order.

    Attributes:
        name: The label: a recipe, or what several recipes need.
        jobs: The jobs.
        after: Names of jobs of others that come before.
    """

    name: str
    jobs: tuple[Job, ...]
    after: frozenset[str]

    @property
    def cores(self) -> int:
        """Cores that its largest job keeps busy."""
        return max(job.threads for job in self.jobs)

    @property
    def needs(self) -> list[str]:
        """Keys of stages of others whose files it reads."""
        own = {job.arguments["key"] for job in self.jobs}
        return [key for key in dict.fromkeys(key for job in self.jobs for key in job.needs) if key not in own]

    @property
    def makes(self) -> list[str]:
        """Keys of the stages that it makes."""
        return [job.arguments["key"] for job in self.jobs]

    @property
    def opens(self) -> bool:
        """Whether it opens a stranger's file."""
        return any(job.opens for job in self.jobs)


def group(jobs: Iterable[Job]) -> list[Trial]:
    """Trials in the order of their first jobs; a job without a label is one of its own."""
    labelled: dict[str, list[Job]] = {}
    for job in jobs:
        labelled.setdefault(job.trial or job.name, []).append(job)
    trials = []
    for name, own in labelled.items():
        names = {job.name for job in own}
        after = frozenset(before for job in own for before in job.after if before not in names)
        trials.append(Trial(name, tuple(own), after))
    return trials


def replaced(value: Any, by: dict[str, str]) -> Any:
    """JSON-able data with some texts in the place of others, wherever they stand as a whole."""
    if isinstance(value, str):
        return by.get(value, value)
    if isinstance(value, dict):
        return {key: replaced(one, by) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [replaced(one, by) for one in value]
    return value
