"""Validation protocols: which examples train and which judge each model of a trial; the test part never does.

Source: Chollet, Deep Learning with Python, section 4.2; Kohavi, A study of cross-validation and bootstrap for accuracy
estimation and model selection, 1995.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from msgspec import Struct

from optkit.data import Part
from optkit.data._views import Chosen, Joined
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optkit.data import Dataset

MOST_FOLDS = 100


class Protocol(Struct, frozen=True):
    """How a trial is judged.

    Attributes:
        kind: ``holdout`` judges one model on the data's validation part; ``kfold`` trains ``folds`` models, each
            without another part of training and validation data, which judges it; ``stratified`` does so with each
            class's share in every part; ``iterated`` is ``kfold`` in ``repeats`` different orders.
        folds: Parts.
        repeats: Orders.
    """

    kind: Literal["holdout", "kfold", "stratified", "iterated"] = "holdout"
    folds: int = 1
    repeats: int = 1

    @property
    def models(self) -> int:
        """How many models each trial trains."""
        return self.folds * self.repeats

    @property
    def words(self) -> str:
        """As the user writes it."""
        return {"holdout": "holdout", "iterated": f"iterated:{self.repeats}x{self.folds}"}.get(
            self.kind, f"{self.kind}:{self.folds}"
        )


class Fold(NamedTuple):
    """Positions in training and validation data together, int64 [n]."""

    train: np.ndarray
    validation: np.ndarray


def read_protocol(words: str) -> Protocol:
    """``holdout``, ``kfold:5``, ``stratified:5`` or ``iterated:3x5``.

    Raises:
        InputError: It is none of these.
    """
    match = re.fullmatch(
        r"(kfold|stratified):(\d{1,3})|(iterated):(\d{1,3})x(\d{1,3})|(holdout)", words.strip().lower()
    )
    if match is None:
        raise InputError(f"--validation expects holdout, kfold:K, stratified:K or iterated:PxK, found {words!r}")
    if match[6]:
        return Protocol()
    found = (
        Protocol("iterated", int(match[5]), int(match[4]))
        if match[3]
        else Protocol("kfold" if match[1] == "kfold" else "stratified", int(match[2]))
    )
    if not 2 <= found.folds <= MOST_FOLDS or not 1 <= found.repeats <= MOST_FOLDS:
        raise InputError(f"--validation {words}: expected 2 to {MOST_FOLDS} parts and 1 to {MOST_FOLDS} orders")
    return found


def folds(labels: np.ndarray, protocol: Protocol, *, seed: int) -> Iterator[Fold]:
    """The folds of a protocol other than ``holdout``: each example judges once in each order.

    Args:
        labels: Class numbers int64 [n], or values float32 [n].
        protocol: Which.
        seed: Of the orders.

    Raises:
        InputError: There are fewer examples, or of a class fewer, than parts.
    """
    classes = labels.dtype.kind != "f"
    if protocol.kind == "stratified" and not classes:
        raise InputError("--validation stratified keeps each class's share, and these labels are values: use kfold")
    fewest = int(np.bincount(labels)[np.unique(labels)].min()) if protocol.kind == "stratified" else len(labels)
    if fewest < protocol.folds:
        what = "examples of the rarest class" if protocol.kind == "stratified" else "examples"
        raise InputError(f"--validation {protocol.words} needs at least {protocol.folds} {what}, found {fewest}")
    generator = np.random.default_rng(seed)
    for _ in range(protocol.repeats):
        order = generator.permutation(len(labels))
        if protocol.kind == "stratified":
            # Sorted by class, every so-many-th example: each part gets each class's share to within one example.
            order = order[np.argsort(labels[order], kind="stable")]
        for part in range(protocol.folds):
            held = order[part :: protocol.folds]
            # In random order again: training must not see one class after the other.
            yield Fold(generator.permutation(np.setdiff1d(order, held, assume_unique=True)), np.sort(held))


def without_test(dataset: Dataset) -> Dataset:
    """The data as trials may see them: nothing is chosen by the test part."""
    return dataclasses.replace(dataset, test=dataset.test.first(0))


def trained_on(dataset: Dataset, protocol: Protocol, model: int, *, seed: int) -> Dataset:
    """The data for one of a trial's models, without the test part.

    Args:
        dataset: All data.
        protocol: Which.
        model: From 0 to ``protocol.models``.
        seed: Of the orders.

    Raises:
        InputError: See ``folds``.
    """
    seen = without_test(dataset)
    if protocol.kind == "holdout":
        return seen
    images, labels = _all(dataset)
    fold = next(one for index, one in enumerate(folds(labels, protocol, seed=seed)) if index == model)
    return dataclasses.replace(
        seen,
        train=Part(Chosen(images, fold.train), labels[fold.train]),
        validation=Part(Chosen(images, fold.validation), labels[fold.validation]),
    )


def all_for_training(dataset: Dataset) -> Dataset:
    """Training and validation data together for training; the validation part is empty, the test part as it is."""
    images, labels = _all(dataset)
    return dataclasses.replace(dataset, train=Part(images, labels), validation=dataset.validation.first(0))


def _all(dataset: Dataset) -> tuple[Joined, np.ndarray]:
    images = Joined(dataset.train.images, dataset.validation.images)
    return images, np.concatenate([dataset.train.labels, dataset.validation.labels])
