"""Validation protocols part the data as they say, and never hand out the test part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optkit import data
from optkit.errors import InputError
from optkit.tune.protocols import Protocol, all_for_training, folds, read_protocol, trained_on

counts = st.lists(st.integers(8, 30), min_size=2, max_size=5)


def labels_of(counts: list[int], seed: int) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


@given(counts, st.integers(2, 8), st.integers(0, 99), st.sampled_from(["kfold", "stratified"]))
def test_every_example_judges_once_and_trains_otherwise(sizes: list[int], parts: int, seed: int, kind: str) -> None:
    labels = labels_of(sizes, seed)
    made = list(folds(labels, Protocol(kind, parts), seed=seed))  # type: ignore[arg-type]
    assert len(made) == parts
    judged = np.concatenate([one.validation for one in made])
    assert sorted(judged) == list(range(len(labels)))
    for one in made:
        assert sorted([*one.train, *one.validation]) == list(range(len(labels)))


@given(counts, st.integers(2, 8), st.integers(0, 99))
def test_stratified_parts_have_each_classs_share(sizes: list[int], parts: int, seed: int) -> None:
    labels = labels_of(sizes, seed)
    for one in folds(labels, Protocol("stratified", parts), seed=seed):
        held = np.bincount(labels[one.validation], minlength=len(sizes))
        assert np.abs(held - np.array(sizes) / parts).max() <= 1


def test_plain_folds_are_not_stratified() -> None:
    labels = np.repeat(np.arange(10), 20)
    held = [np.bincount(labels[one.validation], minlength=10) for one in folds(labels, Protocol("kfold", 5), seed=1)]
    assert max(np.abs(one - 4).max() for one in held) > 1


def test_iterated_folds_differ_from_order_to_order() -> None:
    labels = np.repeat(np.arange(2), 20)
    made = list(folds(labels, Protocol("iterated", 4, 3), seed=0))
    assert len(made) == Protocol("iterated", 4, 3).models == 12
    assert {tuple(one.validation) for one in made[:4]}.isdisjoint({tuple(one.validation) for one in made[4:8]})
    again = list(folds(labels, Protocol("iterated", 4, 3), seed=0))
    assert all((a.train == b.train).all() for a, b in zip(made, again, strict=True))


@pytest.mark.parametrize("words", ["holdout", "kfold:5", "stratified:10", "iterated:3x4"])
def test_protocols_are_read_as_they_are_written(words: str) -> None:
    assert read_protocol(words).words == words


@pytest.mark.parametrize("words", ["", "kfold", "kfold:x", "kfold:101", "iterated:3", "iterated:0x3", "loo"])
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises(InputError, match="--validation"):
        read_protocol(words)


def test_too_few_examples_for_the_parts_are_refused() -> None:
    with pytest.raises(InputError, match="at least 5 examples of the rarest class, found 3"):
        list(folds(labels_of([3, 30], 0), Protocol("stratified", 5), seed=0))
    with pytest.raises(InputError, match="use kfold"):
        list(folds(np.linspace(0, 1, 30, dtype=np.float32), Protocol("stratified", 5), seed=0))


def test_trials_never_see_the_test_part() -> None:
    whole = data.load("mnist", train_samples=300)
    for words in ("holdout", "kfold:3"):
        seen = trained_on(whole, read_protocol(words), 0, seed=0)
        assert len(seen.test.labels) == len(seen.test.images) == 0
    assert len(whole.test.labels) == 10_000


def test_folds_hand_out_the_examples_with_their_labels() -> None:
    whole = data.load("mnist", train_samples=300)
    both = np.concatenate([whole.train.images[:], whole.validation.images[:]])
    labels = np.concatenate([whole.train.labels, whole.validation.labels])
    fold = list(folds(labels, Protocol("kfold", 3), seed=0))[1]
    seen = trained_on(whole, Protocol("kfold", 3), 1, seed=0)
    assert (seen.validation.images[:] == both[fold.validation]).all()
    assert (seen.train.images[5:9] == both[fold.train[5:9]]).all()
    assert (seen.train.labels == labels[fold.train]).all()
    joined = all_for_training(whole)
    assert (joined.train.images[298:303] == both[298:303]).all()
    assert len(joined.train.labels) == 5_300
    assert not len(joined.validation.labels)
