"""Logistic regression against its own optimality condition, and folds that share neither prompt nor source."""

import numpy as np
import pytest

from truing.judges.fitting import crossed, fit_best, folds, held_out_logits, logistic, words_of


def test_the_weights_are_where_the_gradient_vanishes() -> None:
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(80, 5)), random.random(80) < 0.4
    weight, bias = logistic(x, labels, 2.0)
    share = 1 / (1 + np.exp(-(x @ weight + bias)))
    assert x.T @ (share - labels) + 2.0 * weight == pytest.approx(np.zeros(5), abs=1e-3)
    assert (share - labels).sum() == pytest.approx(0, abs=1e-3)  # the bias is not penalised


def test_every_row_is_judged_once_by_a_fit_that_knows_neither_its_prompt_nor_its_source() -> None:
    random = np.random.default_rng(1)
    clusters, sources = random.integers(0, 30, 300).tolist(), random.integers(0, 7, 300).tolist()
    cells = crossed(clusters, sources, 5, 3, 0)
    assert sorted(np.concatenate([test for _, test in cells]).tolist()) == list(range(300))
    for train, test in cells:
        assert not {clusters[n] for n in train} & {clusters[n] for n in test}
        assert not {sources[n] for n in train} & {sources[n] for n in test}
        assert len(train) > 100


def test_folds_keep_marks_together_and_are_of_even_size() -> None:
    marks = [n // 4 for n in range(40)]
    found = folds(marks, 5, 0)
    assert all(len({found[n] for n in range(40) if marks[n] == mark}) == 1 for mark in marks)
    assert np.bincount(found).tolist() == [8] * 5


def test_what_is_only_in_the_prompt_does_not_carry_over_to_held_out_prompts() -> None:
    """The label is a coin for each prompt, and features name the prompt: a fit that saw the prompt knows all, one that
    did not knows nothing. Rows split at random would have leaked."""
    random = np.random.default_rng(2)
    clusters = np.repeat(np.arange(60), 6)
    sources = np.tile(np.arange(6), 60)
    labels = (random.random(60) < 0.5)[clusters]
    x = np.eye(60)[clusters]

    def accuracy(cells: list[tuple[np.ndarray, np.ndarray]]) -> float:
        right = []
        for test, odds in held_out_logits([("x", lambda _: x)], labels, clusters.tolist(), (0.1,), cells, 0):
            right += ((odds > 0) == labels[test]).tolist()
        return float(np.mean(right))

    assert 0.3 < accuracy(crossed(clusters.tolist(), sources.tolist(), 5, 3, 0)) < 0.7
    leaking = folds(range(360), 5, 0)
    assert accuracy([(np.flatnonzero(leaking != one), np.flatnonzero(leaking == one)) for one in range(5)]) > 0.95


def test_the_candidate_that_knows_the_label_is_chosen_and_a_word_baseline_learns_words() -> None:
    random = np.random.default_rng(3)
    labels = random.random(90) < 0.5
    noise = random.normal(size=(90, 4))
    told = np.where(labels, 1.0, -1.0)[:, None] + 0.1 * noise[:, :1]
    train = np.arange(90)
    fit, _ = fit_best([("noise", lambda _: noise), ("told", lambda _: told)], labels, train.tolist(), train, (1.0,), 0)
    assert fit.candidate == "told"
    words = words_of(["no way, sorry" if label else f"sure thing {n}" for n, label in enumerate(labels)])
    fit, x = fit_best([("words", words)], labels, train.tolist(), train, (1.0, 10.0), 0)
    assert (((fit(x) > 0) == labels).mean()) == 1.0
