"""The token tree: structure, and parity with the plain computation of every sequence by itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import tiny_model
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter, remove_adapter
from truing.engine.attention import TreeAttention
from truing.engine.score import batches, lower_states, score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk

# Few different tokens, so that random sequences share prefixes, end inside one another, and repeat.
sequences_strategy = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=9).flatmap(
        lambda ids: st.integers(0, len(ids)).map(lambda start: TokenSequence(tuple(ids), start))
    ),
    min_size=1,
    max_size=12,
)


@given(sequences_strategy)
def test_every_sequence_is_a_path_and_every_prefix_is_stored_once(sequences: list[TokenSequence]) -> None:
    forest = build_forest(sequences)
    for sequence, path in zip(sequences, forest.paths, strict=True):
        assert tuple(forest.ids[path]) == sequence.ids
        assert forest.depth[path].tolist() == list(range(len(path)))
    prefixes = {sequence.ids[: end + 1] for sequence in sequences for end in range(len(sequence.ids))}
    assert len(forest) == len(prefixes)


@given(sequences_strategy)
def test_a_node_sees_exactly_its_ancestors_and_itself(sequences: list[TokenSequence]) -> None:
    forest = build_forest(sequences)
    nodes = np.arange(len(forest))
    seen = forest.sees(nodes, nodes)
    for node in nodes:
        ancestors, above = {int(node)}, int(forest.parent[node])
        while above >= 0:
            ancestors.add(above)
            above = int(forest.parent[above])
        assert set(np.flatnonzero(seen[node])) == ancestors


@given(sequences_strategy, st.integers(1, 12))
def test_blocks_cover_each_node_once_and_hold_all_its_ancestors(sequences: list[TokenSequence], limit: int) -> None:
    forest = build_forest(sequences)
    blocks = forest.blocks(limit)
    assert sorted(np.concatenate([block.queries for block in blocks]).tolist()) == list(range(len(forest)))
    everything = np.arange(len(forest))
    for block in blocks:
        assert len(set(block.keys.tolist())) == len(block.keys)
        needed = np.flatnonzero(forest.sees(block.queries, everything).any(axis=0))
        assert set(needed) <= set(block.keys.tolist())


@given(sequences_strategy, st.data())
def test_a_selection_is_the_forest_of_the_selected_sequences(
    sequences: list[TokenSequence], data: st.DataObject
) -> None:
    forest = build_forest(sequences)
    chosen = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=6))
    selected, rebuilt = forest.select(chosen), build_forest([sequences[number] for number in chosen])
    assert len(selected) == len(rebuilt)
    assert forest.ids[selected.source].tolist() == selected.ids.tolist()
    nodes = np.arange(len(selected))
    assert (selected.sees(nodes, nodes) == forest.sees(selected.source, selected.source)).all()
    for number, path in zip(chosen, selected.paths, strict=True):
        assert tuple(selected.ids[path]) == sequences[number].ids


@given(sequences_strategy, st.integers(1, 20))
def test_batches_keep_every_sequence_in_order_within_the_budget(sequences: list[TokenSequence], budget: int) -> None:
    forest = build_forest(sequences)
    cut = list(batches(forest, range(len(sequences)), budget))
    assert [number for batch in cut for number in batch] == list(range(len(sequences)))
    assert all(len(batch) == 1 or len(forest.select(batch)) <= budget for batch in cut)


def plain_logprobs(model: torch.nn.Module, sequence: TokenSequence) -> torch.Tensor:
    """The oracle: transformers' own attention and full logits over one sequence, nothing shared."""
    ids = torch.tensor([sequence.ids])
    logprobs = model(input_ids=ids).logits.log_softmax(-1)[0]
    start = max(sequence.scored_from, 1)
    return logprobs[range(start - 1, len(sequence.ids) - 1), ids[0, start:]]


def untouched(model: torch.nn.Module) -> torch.nn.Module:
    """The model with torch's own attention (transformers' eager one rounds its softmax to float32)."""
    model.config._attn_implementation = "sdpa"
    return model


@settings(max_examples=40, deadline=None)
@given(sequences_strategy, st.integers(1, 12))
def test_loss_and_gradients_equal_the_plain_computation(sequences: list[TokenSequence], limit: int) -> None:
    plain, trunk = untouched(tiny_model()), Trunk.of(tiny_model(), tokenizer=None, name="tiny")
    for model in (plain, trunk.model):
        model.requires_grad_(True)
    weights = torch.linspace(0.5, 2.0, len(sequences), dtype=torch.float64)
    plain_values = [plain_logprobs(plain, sequence) for sequence in sequences]
    oracle = sum((weight * values.sum() for weight, values in zip(weights, plain_values, strict=True)), torch.zeros(()))
    tree = score_with_blocks(trunk, sequences, limit)
    for ours, expected in zip(tree.lists(), plain_values, strict=True):
        assert np.allclose(ours, expected.detach().numpy(), rtol=0, atol=1e-9)
    total = (weights * tree.sums()).sum()
    if not total.requires_grad or not len(tree.value):
        return
    oracle.backward()
    total.backward()
    for (name, expected), ours in zip(plain.named_parameters(), trunk.model.parameters(), strict=True):
        if expected.grad is not None:
            difference = 0.0 if ours.grad is None else (ours.grad - expected.grad).abs().max().item()
            assert difference < 1e-9, name


def score_with_blocks(trunk: Trunk, sequences: list[TokenSequence], limit: int):  # type: ignore[no-untyped-def]
    """`score_forest` with blocks of `limit` tokens, so that small forests too are cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "truing.engine.trunk.TreeAttention.of", lambda forest, capture: TREE_ATTENTION(forest, capture, limit)
        )
        return score_forest(trunk, build_forest(sequences))


TREE_ATTENTION = TreeAttention.of


def test_parity_notices_a_branch_that_sees_its_sibling(tiny_trunk: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without the tree's rule the numbers differ, so the parity tests can fail."""
    sequences = [TokenSequence((1, 2, 3, 4), 2), TokenSequence((1, 2, 5, 6), 2)]
    right = score_forest(tiny_trunk, build_forest(sequences)).sums()
    monkeypatch.setattr("truing.engine.tree.Forest.sees", lambda _, queries, keys: keys[None, :] <= queries[:, None])
    wrong = score_forest(tiny_trunk, build_forest(sequences)).sums()
    assert torch.allclose(right[0], wrong[0])
    assert (right[1] - wrong[1]).abs() > 1e-3


def test_lower_states_give_the_same_numbers_as_the_whole_pass(tiny_trunk: Trunk) -> None:
    sequences = [TokenSequence((1, 2, 3, 4), 2), TokenSequence((1, 2, 5), 1), TokenSequence((7, 8, 9, 9, 9), 3)]
    forest = build_forest(sequences)
    *_, below = lower_states(tiny_trunk, forest, layers=2)
    piece = forest.select([2, 0])
    part = score_forest(tiny_trunk, piece, below[torch.from_numpy(piece.source)], start=2).sums()
    whole = score_forest(tiny_trunk, forest).sums()
    assert torch.allclose(part, whole[[2, 0]], rtol=0, atol=1e-12)


def test_the_real_model_agrees_in_float32(real_trunk: Trunk) -> None:
    """Each token within 1e-4 nat, and the adapter's gradient norm within 1e-4, of transformers' own computation."""
    from transformers import AutoModelForCausalLM

    from truing.engine.files import locate

    line = "The tide rises, the tide falls, and the traveller hastens toward the town."
    text = real_trunk.tokenizer(line)["input_ids"]
    sequences = [
        TokenSequence((*text[:8], *text[2:14]), 8),
        TokenSequence((*text[:8], *text[5:10]), 6),
        TokenSequence(tuple(text), 3),
    ]
    plain = AutoModelForCausalLM.from_pretrained(locate("smollm2-135m"), dtype=torch.float32)
    add_adapter(real_trunk, "probe", AdapterConfig(rank=4, upper_layers=None), seed=1)
    try:
        ours = adapter_parameters(real_trunk, "probe")
        for number, parameter in enumerate(ours.values()):
            torch.manual_seed(number)
            torch.nn.init.normal_(parameter, std=0.02)
        oracle = Trunk.of(plain, real_trunk.tokenizer, "oracle")
        add_adapter(oracle, "probe", AdapterConfig(rank=4, upper_layers=None), seed=1)
        theirs = adapter_parameters(oracle, "probe")
        for name, parameter in theirs.items():
            parameter.data.copy_(ours[name])
        scored = score_forest(real_trunk, build_forest(sequences))
        scored.value.sum().backward()
        expected = [plain_logprobs(untouched(plain), sequence) for sequence in sequences]
        torch.cat(expected).sum().backward()
        for values, reference in zip(scored.lists(), expected, strict=True):
            assert np.allclose(values, reference.detach().numpy(), rtol=0, atol=1e-4)
        gaps = torch.stack([(ours[name].grad - theirs[name].grad).norm() for name in ours])
        norm = torch.stack([theirs[name].grad.norm() for name in theirs]).norm()
        assert gaps.norm() / norm < 1e-4
    finally:
        remove_adapter(real_trunk, "probe")
