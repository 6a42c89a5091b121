"""A scalar head over the tree against transformers on padded rows, and what is saved, missing or does not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import save_file

from tests.conftest import tiny_model
from tests.engine.families import tiny
from tests.engine.test_tree import sequences_strategy, untouched
from truing.core.errors import InputError
from truing.engine.scalar import FILE, end_values, ends, load_head, new_head, save_head, values_at
from truing.engine.score import lower_states
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk


def padded_states(model: torch.nn.Module, sequences: list[TokenSequence]) -> torch.Tensor:
    """The oracle: transformers' own pass over right-padded rows → [sequences, longest, width] after the final norm."""
    longest = max(len(sequence.ids) for sequence in sequences)
    ids, real = torch.zeros(2, len(sequences), longest, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
        real[row, : len(sequence.ids)] = 1
    return model.base_model(input_ids=ids, attention_mask=real, use_cache=False).last_hidden_state


@settings(max_examples=25, deadline=None)
@given(sequences_strategy)
def test_rewards_and_gradients_equal_those_of_padded_rows(sequences: list[TokenSequence]) -> None:
    plain, trunk = untouched(tiny_model()), Trunk.of(tiny_model(), tokenizer=None, name="tiny")
    head = new_head(trunk, seed=0, scale=1.0)
    weight = head.weight.detach().clone().requires_grad_()
    for model in (plain, trunk.model):
        model.requires_grad_(True)
    last = torch.tensor([len(sequence.ids) - 1 for sequence in sequences])
    expected = padded_states(plain, sequences)[torch.arange(len(sequences)), last] @ weight
    forest = build_forest(sequences)
    ours = values_at(trunk, head, forest, ends(forest))
    assert torch.allclose(ours, expected, rtol=0, atol=1e-9)
    (ours * torch.linspace(1, 2, len(ours))).sum().backward()
    (expected * torch.linspace(1, 2, len(ours))).sum().backward()
    assert torch.allclose(head.weight.grad, weight.grad, rtol=0, atol=1e-9)
    for (name, theirs), mine in zip(plain.named_parameters(), trunk.model.parameters(), strict=True):
        if theirs.grad is not None:
            assert (0.0 if mine.grad is None else mine.grad - theirs.grad).abs().max() < 1e-9, name


SEQUENCES = [TokenSequence((1, 2, 3, 4), 2), TokenSequence((1, 2, 5), 2), TokenSequence((7, 8, 9, 9, 9), 3)]


def test_a_value_may_be_asked_at_any_token_and_starts_from_lower_states(tiny_trunk: Trunk) -> None:
    head, forest = new_head(tiny_trunk, seed=0, scale=1.0), build_forest(SEQUENCES)
    *_, below = lower_states(tiny_trunk, forest, layers=2)
    path = forest.paths[2]
    with torch.no_grad():
        ours = values_at(tiny_trunk, head, forest, path, below, start=2)
        expected = padded_states(untouched(tiny_model()), SEQUENCES)[2] @ head.weight
    assert torch.allclose(ours, expected, rtol=0, atol=1e-9)
    assert not torch.allclose(ours[-1], ours[-2])


def test_the_reward_is_read_at_the_last_token_and_not_before_it(tiny_trunk: Trunk) -> None:
    """Negative control: the state one token earlier gives other rewards, so the parity test can fail."""
    head, forest = new_head(tiny_trunk, seed=0, scale=1.0), build_forest(SEQUENCES)
    *_, below = lower_states(tiny_trunk, forest, layers=1)
    (parts,) = end_values(tiny_trunk, head, forest, below, 1)
    expected = padded_states(untouched(tiny_model()), SEQUENCES)[[0, 1, 2], [3, 2, 4]] @ head.weight
    earlier = padded_states(untouched(tiny_model()), SEQUENCES)[[0, 1, 2], [2, 1, 3]] @ head.weight
    assert parts[0] == [0, 1, 2]
    assert torch.allclose(parts[1], expected, rtol=0, atol=1e-9)
    assert (parts[1] - earlier).abs().min() > 1e-3


def test_the_output_layer_never_runs(tiny_trunk: Trunk) -> None:
    tiny_trunk.model.lm_head.weight.data.fill_(torch.nan)
    forest = build_forest(SEQUENCES)
    assert values_at(tiny_trunk, new_head(tiny_trunk, 0, 1.0), forest, ends(forest)).isfinite().all()


def test_a_trunk_on_the_padded_path_gives_values_too() -> None:
    trunk = Trunk.of(tiny("mamba"), tokenizer=None, name="mamba")
    head, forest = new_head(trunk, seed=0, scale=1.0), build_forest(SEQUENCES)
    with torch.no_grad():
        expected = padded_states(tiny("mamba"), SEQUENCES)[[0, 1, 2], [3, 2, 4]].double() @ head.weight.double()
        assert torch.allclose(values_at(trunk, head, forest, ends(forest)).double(), expected, rtol=0, atol=1e-6)


def test_a_seed_fixes_the_first_weights_and_no_scale_is_zero(tiny_trunk: Trunk) -> None:
    one, same, other = (new_head(tiny_trunk, seed, 1.0).weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(new_head(tiny_trunk, 1).weight, torch.zeros(32, dtype=torch.float64))
    wide = torch.cat([new_head(tiny_trunk, seed, 2.0).weight for seed in range(300)])
    assert wide.std().item() == pytest.approx(2 / np.sqrt(33), rel=0.03)


def test_a_half_precision_trunk_has_a_head_in_float32() -> None:
    trunk = Trunk.of(tiny_model().bfloat16(), tokenizer=None, name="half")
    head = new_head(trunk, 0, 1.0)
    assert head.weight.dtype == head(torch.ones(3, 32, dtype=torch.bfloat16)).dtype == torch.float32


def test_what_is_saved_is_read_back_bit_for_bit(tiny_trunk: Trunk, tmp_path: Path) -> None:
    head = new_head(tiny_trunk, 3, 1.0)
    with torch.no_grad():
        head.bias.fill_(0.1)
    save_head(head, tmp_path)
    read = load_head(tiny_trunk, tmp_path)
    assert torch.equal(read.weight, head.weight)
    assert torch.equal(read.bias, head.bias)


def test_a_head_that_is_missing_damaged_or_does_not_fit_is_named(tiny_trunk: Trunk, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"head\.safetensors is missing, so .* no reward model; train one"):
        load_head(tiny_trunk, tmp_path)
    save_file({"weight": torch.zeros(16), "bias": torch.zeros(())}, tmp_path / FILE)
    with pytest.raises(InputError, match=r"does not fit: it holds bias \[\], weight \[16\], and tiny needs .*\[32\]"):
        load_head(tiny_trunk, tmp_path)
    save_file({"weight": torch.zeros(32)}, tmp_path / FILE)
    with pytest.raises(InputError, match=r"does not fit: it holds weight \[32\]"):
        load_head(tiny_trunk, tmp_path)
    (tmp_path / FILE).write_bytes(b"no tensors")
    with pytest.raises(InputError, match="the file is damaged"):
        load_head(tiny_trunk, tmp_path)
