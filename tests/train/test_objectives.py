"""The table of losses: every entry's gradient, what it may look at, its settings, and what is wrong with other ones."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from truing.core.errors import InputError
from truing.losses.pairs import PairScores
from truing.train.objectives import ANSWERS, OBJECTIVES, PAIRS
from truing.train.preference import PreferenceConfig
from truing.train.unpaired import UnpairedConfig

NEEDED = {"cdpo": {"flip_rate": 0.1}, "robust_dpo": {"flip_rate": 0.1}}
GOOD = torch.tensor([True, False, True, False, True])
LENGTHS = torch.tensor([[3, 5, 2, 7, 4], [6, 2, 2, 9, 1]])


def settings(loss: str) -> dict[str, float]:
    return PreferenceConfig.parse({"loss": loss, **NEEDED.get(loss, {})}, "test").settings()


def numbers(seed: int = 0) -> Tensor:
    """[4, 5] summed log-probabilities: chosen, rejected, and the reference's."""
    generator = torch.Generator().manual_seed(seed)
    return -20 * torch.rand(4, 5, dtype=torch.float64, generator=generator) - 0.5


def pair_loss(loss: str) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    def of(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor) -> Tensor:
        scores = PairScores(chosen, rejected, *LENGTHS, reference_chosen, reference_rejected)
        return PAIRS[loss].loss(scores, settings(loss))

    return of


@pytest.mark.parametrize("loss", PAIRS)
def test_every_pair_losss_gradient_is_that_of_its_value(loss: str) -> None:
    inputs = [row.clone().requires_grad_() for row in numbers()]
    assert torch.autograd.gradcheck(pair_loss(loss), inputs)


@pytest.mark.parametrize("loss", ANSWERS)
def test_every_answer_losss_gradient_is_that_of_its_value(loss: str) -> None:
    ratio, middle = numbers()[0].requires_grad_(), torch.tensor(-3.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda r: ANSWERS[loss].loss(r, GOOD, middle, settings(loss)), [ratio])


@pytest.mark.parametrize("loss", PAIRS)
def test_a_pairs_loss_does_not_depend_on_the_pairs_beside_it_or_on_their_order(loss: str) -> None:
    order = torch.tensor([3, 1, 4, 0, 2])
    whole = pair_loss(loss)(*numbers())
    scores = PairScores(*numbers()[:2, order], *LENGTHS[:, order], *numbers()[2:, order])
    assert torch.equal(PAIRS[loss].loss(scores, settings(loss)), whole[order])
    for place in range(5):
        alone = PairScores(*numbers()[:2, [place]], *LENGTHS[:, [place]], *numbers()[2:, [place]])
        assert torch.equal(PAIRS[loss].loss(alone, settings(loss)), whole[[place]])


@pytest.mark.parametrize("loss", PAIRS)
def test_only_a_loss_that_needs_a_reference_looks_at_one(loss: str) -> None:
    """A loss that needs one says so without it, and depends on it; the others give the same with any."""
    policy, bare = numbers()[:2], PairScores(*numbers()[:2], *LENGTHS)
    first = PairScores(*policy, *LENGTHS, *numbers()[2:])
    other = replace(first, reference_chosen=numbers(1)[2])
    values = [PAIRS[loss].loss(scores, settings(loss)) for scores in (first, other)]
    assert torch.equal(*values) != PAIRS[loss].needs_reference
    if PAIRS[loss].needs_reference:
        with pytest.raises(ValueError, match="without a reference"):
            PAIRS[loss].loss(bare, settings(loss))
    else:
        assert torch.equal(PAIRS[loss].loss(bare, settings(loss)), values[0])


@pytest.mark.parametrize("loss", [loss for loss in PAIRS if loss != "apo_down"])
def test_descent_widens_the_margin_of_a_pair_that_is_not_told_apart(loss: str) -> None:
    """For apo_down at its start, too: but it gets there by lowering both (see test_apo.py)."""
    chosen, rejected = (torch.full((5,), -9.0, dtype=torch.float64, requires_grad=True) for _ in range(2))
    lengths = torch.full((5,), 3)
    scores = PairScores(chosen, rejected, lengths, lengths, chosen.detach(), rejected.detach())
    PAIRS[loss].loss(scores, settings(loss)).sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert (chosen.grad < rejected.grad).all()


def test_the_configurations_name_the_losses_of_the_table() -> None:
    assert get_args(PreferenceConfig.model_fields["loss"].annotation) == tuple(OBJECTIVES)
    assert get_args(UnpairedConfig.model_fields["loss"].annotation) == tuple(ANSWERS)


@pytest.mark.parametrize("loss", OBJECTIVES)
def test_a_loss_gets_its_defaults_and_no_other_setting_and_a_dump_reads_back_equal(loss: str) -> None:
    config = PreferenceConfig.parse({"loss": loss, **NEEDED.get(loss, {})}, "test")
    assert config.settings() == {**OBJECTIVES[loss].settings, **NEEDED.get(loss, {})}
    others = {key for objective in OBJECTIVES.values() for key in objective.settings} - set(config.settings())
    assert [getattr(config, key) for key in others] == [None] * len(others)
    assert PreferenceConfig.parse(config.model_dump(), "test") == config


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"flip_rate": 0.1}, "flip_rate belongs to the losses cdpo and robust_dpo; loss = 'dpo' takes beta and sft"),
        ({"beta": 0.1, "tau": 0.1}, "tau belongs to the loss ipo; loss = 'dpo' takes beta and sft_weight"),
        ({"loss": "ipo", "beta": 0.1}, "beta belongs to the losses .*; loss = 'ipo' takes tau and sft_weight"),
        ({"loss": "dpo", "gamma": 1.0}, "gamma belongs to the loss simpo; "),
        ({"loss": "cdpo"}, "loss = 'cdpo' needs flip_rate, the share of wrong labels, above 0 and below 0.5"),
        ({"loss": "robust_dpo", "flip_rate": 0.5}, "'flip_rate' is 0.5: .* less than 0.5"),
        ({"loss": "ipo", "tau": 0.0}, "'tau' is 0.0: .* greater than 0"),
        ({"loss": "ippo"}, "'loss' is 'ippo': .*'ipo'"),
        ({"loss": ["dpo"]}, "'loss' is .*'dpo'"),
    ],
)  # fmt: skip
def test_a_wrong_combination_is_one_clear_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^recipe: {sentence}") as error:
        PreferenceConfig.parse(values, "recipe")
    assert "\n" not in str(error.value)


def test_judged_answers_take_no_loss_of_pairs() -> None:
    assert UnpairedConfig().loss == "kto"
    with pytest.raises(InputError, match=r"'loss' is 'dpo': .*'kto' or 'bco'"):
        UnpairedConfig.parse({"loss": "dpo"}, "recipe")
