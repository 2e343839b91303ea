"""Validation protocols: every example judges once in each order, classes keep their shares, no test part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optkit import data
from optkit.data import DataSpec
from optkit.errors import InputError
from optkit.tune import protocols
from optkit.tune.protocols import Protocol, folds, read_protocol

LABELS = st.lists(st.integers(0, 4), min_size=20, max_size=200).map(lambda one: np.array(one, np.int64))


@given(labels=LABELS, count=st.integers(2, 10), repeats=st.integers(1, 3), seed=st.integers(0, 9))
def test_each_example_judges_once_in_each_order(labels: np.ndarray, count: int, repeats: int, seed: int) -> None:
    made = list(folds(labels, Protocol("iterated", count, repeats), seed=seed))
    assert len(made) == count * repeats
    for first in range(0, len(made), count):
        order = made[first : first + count]
        assert sorted(np.concatenate([one.validation for one in order])) == list(range(len(labels)))
        sizes = [len(one.validation) for one in order]
        assert max(sizes) - min(sizes) <= 1
    for one in made:
        assert sorted([*one.train, *one.validation]) == list(range(len(labels)))


@given(labels=LABELS, count=st.integers(2, 5), seed=st.integers(0, 9))
def test_stratified_parts_have_each_classs_share(labels: np.ndarray, count: int, seed: int) -> None:
    sizes = np.bincount(labels)
    protocol = Protocol("stratified", count)
    if sizes[sizes > 0].min() < count:
        with pytest.raises(InputError, match="of the rarest class"):
            list(folds(labels, protocol, seed=seed))
        return
    for one in folds(labels, protocol, seed=seed):
        found = np.bincount(labels[one.validation], minlength=len(sizes))
        assert np.abs(found - sizes / count).max() < 1


@given(labels=LABELS, seed=st.integers(0, 9))
def test_the_same_seed_gives_the_same_folds_and_orders_differ(labels: np.ndarray, seed: int) -> None:
    protocol = Protocol("iterated", 2, 2)
    one, again = (list(folds(labels, protocol, seed=seed)) for _ in range(2))
    assert all(np.array_equal(a.train, b.train) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0].validation, one[2].validation)


def test_values_cannot_be_stratified() -> None:
    with pytest.raises(InputError, match="use kfold"):
        list(folds(np.zeros(9, np.float32), Protocol("stratified", 3), seed=0))
    assert len(list(folds(np.zeros(9, np.float32), Protocol("kfold", 3), seed=0))) == 3


@pytest.mark.parametrize("words", ["holdout", "kfold:5", "stratified:10", "iterated:3x5"])
def test_what_is_read_is_written_alike(words: str) -> None:
    assert read_protocol(words).words == words
    assert read_protocol(words).models == {"holdout": 1, "kfold:5": 5, "stratified:10": 10, "iterated:3x5": 15}[words]


@pytest.mark.parametrize("words", ["", "k", "kfold", "kfold:1", "kfold:101", "iterated:5", "iterated:0x5", "holdout:2"])
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises(InputError, match="--validation"):
        read_protocol(words)


@pytest.mark.parametrize("words", ["holdout", "kfold:3", "iterated:2x3"])
def test_trials_see_no_test_example(words: str) -> None:
    whole = data.load(DataSpec("mnist"))
    protocol = read_protocol(words)
    seen = [protocols.trained_on(whole, protocol, index, seed=0) for index in range(protocol.models)]
    for one in seen:
        assert len(one.test.labels) == len(one.test.images) == 0
        assert len(one.train.labels) + len(one.validation.labels) == 60_000
        assert one.train.images.shape[0] == len(one.train.labels)
        # A label belongs to its image still.
        assert data.overlap(one.validation.images[:200], whole.test.images) == 0
    final = protocols.all_for_training(whole)
    assert (len(final.train.labels), len(final.validation.labels), len(final.test.labels)) == (60_000, 0, 10_000)
    edge = len(whole.train.labels)
    assert np.array_equal(final.train.images[edge - 2 : edge + 2][2:], whole.validation.images[:2])
    assert np.array_equal(final.train.images[np.array([edge, 0])][1], whole.train.images[:1][0])
