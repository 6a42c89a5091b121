"""The padded path: which rows run, what loading refuses, and samples that do not depend on how rows are grouped."""

from pathlib import Path

import pytest
import torch

from tests.engine.families import END, exactly, sequences, tiny
from tests.loops.tiny import byte_tokenizer
from truing.core.errors import InputError
from truing.core.records import Decoding
from truing.engine import padded
from truing.engine.generate import generate
from truing.engine.score import score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk


def saved(kind: str, folder: Path) -> str:
    """A tiny model on disk, with a tokenizer."""
    tokenizer = byte_tokenizer()
    tiny(kind, vocab_size=len(tokenizer)).float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_only_sequences_that_no_other_one_continues_run() -> None:
    forest = build_forest([TokenSequence(ids, 0) for ids in ((1, 2), (1, 2, 3, 4), (1, 2, 3, 4), (1, 5), (1,))])
    leaves = padded._leaves(forest)
    assert [forest.ids[path].tolist() for path in leaves] == [[1, 2, 3, 4], [1, 5]]


def test_grouping_rows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for tokens in (1, 40, 4096):
        monkeypatch.setattr(padded, "ROW_TOKENS", tokens)
        with exactly(), torch.no_grad():
            results.append(score_forest(Trunk.of(tiny("mamba"), None, "tiny"), build_forest(sequences())).value)
    for other in results[1:]:
        assert torch.allclose(results[0], other, rtol=0, atol=1e-10)


def test_samples_do_not_depend_on_the_number_of_slots_and_are_scored_as_they_were_drawn() -> None:
    trunk = Trunk.of(tiny("mamba"), None, "tiny")
    prompts = [(1, 2, 3), (1, 2, 3), (4, 5), (6, 7, 8)]
    decoding = Decoding(max_new_tokens=8, temperature=1.0, seed=5)
    one, many = (dict(generate(trunk, prompts, decoding, END, slots)) for slots in (1, 4))
    assert {number: answer.ids for number, answer in one.items()} == {
        number: answer.ids for number, answer in many.items()
    }
    assert one[0].ids != one[1].ids
    for number, answer in many.items():
        ids = (*prompts[number], *answer.ids, *([END] if answer.finished else []))
        with torch.no_grad():
            (fresh,) = score_forest(trunk, build_forest([TokenSequence(ids, len(prompts[number]))])).lists()
        assert list(answer.logprobs) == pytest.approx(fresh, abs=1e-4)


@pytest.mark.parametrize("kind", ["mamba", "gemma2"])
def test_a_loaded_model_is_checked_against_itself(kind: str, tmp_path: Path) -> None:
    trunk = Trunk.load(saved(kind, tmp_path))
    assert bool(trunk.padded) == (kind == "mamba")
    padded.check(trunk)


def test_a_model_that_sees_what_follows_is_refused(tmp_path: Path) -> None:
    """BERT with a language-model head is no decoder: its scores change with the words after them."""
    with pytest.raises(InputError, match=r"the architecture 'bert' does not fit.*is it causal"):
        Trunk.load(saved("bert", tmp_path))


def test_what_transformers_does_not_know_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "telepathy"}', encoding="utf-8")
    with pytest.raises(InputError, match="cannot be loaded as a causal language model"):
        Trunk.load(str(tmp_path))


def test_there_is_no_layer_to_start_from() -> None:
    trunk = Trunk.of(tiny("mamba"), None, "tiny")
    with pytest.raises(ValueError, match="runs whole"):
        trunk.run_forest(build_forest(sequences()), stop=1)
