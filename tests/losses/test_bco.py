"""BCO: a classifier's cross-entropy that bounds DPO's loss, most tightly at the middle of the rewards."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from truing.losses.bco import bco_loss, reward_shift, seen_ratios
from truing.losses.dpo import dpo_loss

torch.manual_seed(0)
RATIO, GOOD = torch.randn(40, dtype=torch.float64) * 5, torch.arange(40) % 2 == 0


def test_it_is_the_cross_entropy_of_a_classifier_whose_logit_is_the_reward() -> None:
    shift = torch.tensor(0.7, dtype=torch.float64)
    expected = binary_cross_entropy_with_logits(0.3 * (RATIO - shift), GOOD.double(), reduction="none")
    assert torch.allclose(bco_loss(RATIO, GOOD, shift, 0.3), expected)


@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.0])
def test_a_pair_costs_more_than_under_dpo_whatever_the_shift(shift: float) -> None:
    """The paper's theorem: −log σ(r_w − δ) − log σ(δ − r_l) > −log σ(r_w − r_l)."""
    losses = bco_loss(RATIO, GOOD, torch.tensor(shift, dtype=torch.float64), 0.3)
    assert (losses[0::2] + losses[1::2] > dpo_loss(RATIO[0::2] - RATIO[1::2], 0.3)).all()


def test_no_other_shift_bounds_a_single_pair_as_tightly_as_the_middle() -> None:
    ratio, good = torch.tensor([4.0, -1.0], dtype=torch.float64), torch.tensor([True, False])
    middle = reward_shift(seen_ratios(ratio, good))
    assert middle.item() == 1.5
    for other in (-2.0, 1.4, 1.6, 5.0):
        assert bco_loss(ratio, good, middle, 0.3).sum() < bco_loss(ratio, good, torch.tensor(other), 0.3).sum()


def test_batches_add_up_and_each_kind_weighs_half_however_many_it_has() -> None:
    parts = seen_ratios(RATIO[:7], GOOD[:7]) + seen_ratios(RATIO[7:], GOOD[7:])
    assert torch.allclose(parts, seen_ratios(RATIO, GOOD), rtol=0, atol=1e-12)
    uneven = torch.tensor([1.0, 2.0, 3.0, 10.0]), torch.tensor([True, True, True, False])
    assert reward_shift(seen_ratios(*uneven)).item() == 6.0


def test_before_any_answer_the_shift_is_0_and_one_kind_alone_gives_its_mean() -> None:
    assert reward_shift(torch.zeros(4, dtype=torch.float64)).item() == 0.0
    assert reward_shift(seen_ratios(torch.tensor([1.0, 3.0]), torch.tensor([False, False]))).item() == 2.0


def test_the_shift_takes_no_gradient() -> None:
    assert not reward_shift(seen_ratios(RATIO.clone().requires_grad_(), GOOD)).requires_grad
