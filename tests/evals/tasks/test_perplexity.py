"""Perplexity by closed form: a model that foretells nothing has its vocabulary's size, and one that knows has less."""

import math
import random
from pathlib import Path

import pytest

from tests.conftest import tiny_model
from tests.evals.tasks.conftest import measured, subject, values
from tests.loops.tiny import byte_tokenizer
from truing.core.errors import InputError
from truing.engine.trunk import Trunk
from truing.evals.task import Subject, TaskSettings
from truing.evals.tasks.perplexity import PERPLEXITY
from truing.providers.local import LocalSystem

TEXT = "The first passage\nhas two lines.\n\nA second.\n \n\n\nThe third one."


def write(folder: Path, text: str, name: str = "tide.txt") -> None:
    (folder / "perplexity").mkdir(parents=True, exist_ok=True)
    (folder / "perplexity" / name).write_text(text, encoding="utf-8")


def test_every_figure_of_a_text_by_hand(tmp_path: Path) -> None:
    """Four equally likely signs for each of a passage's letters (one token each): perplexity 4, 2 bits a byte."""
    write(tmp_path, TEXT)
    figures, items = measured(PERPLEXITY, tmp_path, subject(lambda _, text: -len(text) * math.log(4)))
    assert values(figures) == {
        "perplexity": pytest.approx(-math.log(4)),
        "perplexity_tokens": pytest.approx(4),
        "bits_a_byte": pytest.approx(2),
    }
    assert [item for _, item in items] == ["tide-3", "tide-2", "tide-1"]
    assert items["perplexity", "tide-1"].prompt == "The first passage\nhas two lines."


def test_long_passages_weigh_by_their_tokens(tmp_path: Path) -> None:
    write(tmp_path, "aaaaaaaaa\n\nb")
    figures, _ = measured(PERPLEXITY, tmp_path, subject(lambda _, text: -len(text) * (2.0 if "b" in text else 1.0)))
    assert figures["perplexity"].value == pytest.approx(-1.5)
    assert figures["perplexity_tokens"].value == pytest.approx(math.exp((9 + 2) / 10))


def test_a_model_with_even_weights_has_its_vocabulary_as_perplexity(tmp_path: Path) -> None:
    import torch

    tokenizer = byte_tokenizer()
    trunk = Trunk.of(tiny_model(vocabulary=len(tokenizer)), tokenizer, "tiny")
    with torch.no_grad():
        trunk.model.get_output_embeddings().weight.zero_()
    write(tmp_path, f"{TEXT}\n\n{'long ' * 60}")
    system = LocalSystem(trunk)
    loaded = PERPLEXITY.read(tmp_path)
    items = list(PERPLEXITY.run(Subject("tiny", system, system), loaded.rows, TaskSettings()))
    ratios = {figure.name: figure for figure in PERPLEXITY.derived(items)}
    assert ratios["perplexity_tokens"].value == pytest.approx(len(tokenizer))
    assert ratios["perplexity_tokens"].unknown == 1  # the long one exceeds the context of 256


def test_shuffled_letters_are_harder_to_foretell(tmp_path: Path, real_trunk: Trunk) -> None:
    line = "The tide rises, the tide falls, and the traveller hastens toward the town."
    letters = list(line)
    random.Random(0).shuffle(letters)
    write(tmp_path, line, "a.txt")
    write(tmp_path, "".join(letters), "b.txt")
    system = LocalSystem(real_trunk)
    items = list(PERPLEXITY.run(Subject("real", system, system), PERPLEXITY.read(tmp_path).rows, TaskSettings()))
    bits = {item.item: -(item.detail["logprob"] or 0) for item in items}
    assert bits["b-1"] > 2 * bits["a-1"]


def test_a_single_token_has_nothing_before_it(tmp_path: Path) -> None:
    write(tmp_path, "ab\n\nx")
    figures, items = measured(PERPLEXITY, tmp_path, subject(lambda _, text: -float(len(text))))
    assert figures["perplexity"].n == 2
    tokenizer = byte_tokenizer()
    system = LocalSystem(Trunk.of(tiny_model(vocabulary=len(tokenizer)), tokenizer, "tiny"))
    found = list(PERPLEXITY.run(Subject("tiny", system, system), PERPLEXITY.read(tmp_path).rows, TaskSettings()))
    assert [(item.item, item.reason) for item in found if item.value is None] == [
        ("tide-2", "one token, with nothing before it")
    ]
    del items


@pytest.mark.parametrize(("content", "told"), [(b" \n\n ", "there is no text in it"), (b"\xff", "not valid UTF-8")])
def test_a_file_without_text_is_one_sentence(tmp_path: Path, content: bytes, told: str) -> None:
    write(tmp_path, "")
    (tmp_path / "perplexity" / "tide.txt").write_bytes(content)
    with pytest.raises(InputError, match=told):
        PERPLEXITY.read(tmp_path)
