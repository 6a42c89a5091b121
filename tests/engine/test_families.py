"""Every architecture against the untouched model: scores, gradients, generation; and that the checks can fail."""

import pytest
import torch

from tests.engine.families import (
    WINDOW,
    deviation,
    exactly,
    generates_alike,
    plain_logprobs,
    sequences,
    tiny,
    tiny_config,
)
from truing.core.errors import InputError
from truing.engine import families
from truing.engine.score import score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk

# The others are measured for docs/models.md, by the same functions (scripts/models_page.py).
TREE = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox", "granite", "mixtral")
ROWS = ("mamba", "recurrent_gemma", "jamba", "rwkv", "opt")


@pytest.mark.parametrize("kind", [*TREE, *ROWS])
def test_scores_and_gradients_are_those_of_the_untouched_model(kind: str) -> None:
    assert deviation(kind).worst() < 1e-9


@pytest.mark.parametrize("kind", [*TREE, *ROWS])
def test_greedy_answers_are_transformers_own(kind: str) -> None:
    assert generates_alike(kind)


def test_each_architecture_takes_the_path_that_is_written_of_it() -> None:
    for kind in TREE:
        assert not Trunk.of(tiny(kind), None, kind).padded
    reasons = {kind: Trunk.of(tiny(kind), None, kind).padded for kind in ROWS}
    assert reasons.pop("opt") == "the architecture 'opt' is not known to obey a token tree"
    assert set(reasons.values()) == {"recurrent layers cannot fork"}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("mistral", {"sliding_window": None}),
        ("gemma2", {"attn_logit_softcapping": None}),
        ("gemma2", {"final_logit_softcapping": None}),
        ("gemma3_text", {"sliding_window": WINDOW - 1}),
        ("granite", {"embedding_multiplier": 1.0}),
        ("granite", {"logits_scaling": 1.0}),
    ],
)
def test_the_sequences_notice_each_peculiarity(kind: str, changes: dict[str, object]) -> None:
    """Negative control: without the window, cap or scale the same weights give other numbers."""
    with exactly(), torch.no_grad():
        gaps = [
            (plain_logprobs(tiny(kind), sequence) - plain_logprobs(tiny(kind, **changes), sequence)).abs().max().item()
            for sequence in sequences()
        ]
    assert max(gaps) > 1e-3


def test_a_window_counts_depth_and_not_the_place_in_the_packed_row() -> None:
    """Many branches lie between a late branch and the shared tokens that it still sees."""
    stem = (1, 2, 3, 4)
    forest = build_forest([TokenSequence((*stem, token, token + 1), 4) for token in range(10, 30, 2)])
    plain, trunk = tiny("mistral"), Trunk.of(tiny("mistral"), None, "mistral")
    with exactly(), torch.no_grad():
        last = plain_logprobs(plain, TokenSequence((*stem, 28, 29), 4))
        assert torch.allclose(score_forest(trunk, forest).value[-2:], last, rtol=0, atol=1e-12)


def test_positions_beyond_which_longrope_changes_are_refused() -> None:
    trunk = Trunk.of(tiny("phi3"), None, "tiny-phi3")
    assert trunk.context == 64 < trunk.model.config.max_position_embeddings
    with pytest.raises(InputError, match="tiny-phi3: a sequence of 65 tokens exceeds the 64"):
        score_forest(trunk, build_forest([TokenSequence((1,) * 65, 1)]))


def test_an_attention_that_asks_for_something_unknown_is_refused() -> None:
    """gpt_oss hands its sinks to the attention: on the tree path they would be left out in silence."""
    trunk = Trunk.of(tiny("gpt_oss"), None, "sinks")
    assert trunk.padded
    trunk.family, trunk.padded = families.FAMILIES["llama"], ""
    trunk.model.config._attn_implementation = "truing"
    with pytest.raises(RuntimeError, match="does not know what to do with s_aux"):
        score_forest(trunk, build_forest([TokenSequence((1, 2), 1)]))


def test_a_model_without_limit_has_a_context() -> None:
    from transformers import MambaConfig

    assert families.context(MambaConfig()) == 1 << 30
    assert families.context(tiny_config("gpt2")) == 256
