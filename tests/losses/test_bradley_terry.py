"""Bradley–Terry, its margins, ties and centring against closed forms."""

import math

import pytest
import torch
from scipy.optimize import minimize_scalar

from truing.losses.bradley_terry import bradley_terry_loss, centring_loss, tie_loss

DIFFERENCES = torch.linspace(-8, 8, 17, dtype=torch.float64)
ZERO = torch.zeros_like(DIFFERENCES)


def test_equal_rewards_cost_ln_2_and_a_constant_added_to_both_changes_nothing() -> None:
    assert torch.allclose(bradley_terry_loss(ZERO, ZERO), torch.full_like(ZERO, math.log(2)))
    assert torch.allclose(bradley_terry_loss(DIFFERENCES + 5, ZERO + 5), bradley_terry_loss(DIFFERENCES, ZERO))


def test_the_gradient_is_the_probability_of_being_wrong() -> None:
    """∂L/∂r_w = −σ(−(r_w − r_l − m)) = −∂L/∂r_l."""
    chosen, rejected = DIFFERENCES.clone().requires_grad_(), ZERO.clone().requires_grad_()
    bradley_terry_loss(chosen, rejected, 0.7).sum().backward()
    expected = -torch.sigmoid(0.7 - DIFFERENCES)
    assert torch.allclose(chosen.grad, expected)
    assert torch.allclose(rejected.grad, -expected)


def test_a_margin_moves_the_loss_along_and_may_differ_from_pair_to_pair() -> None:
    margins = torch.arange(17, dtype=torch.float64) / 10
    assert torch.allclose(
        bradley_terry_loss(DIFFERENCES + margins, ZERO, margins), bradley_terry_loss(DIFFERENCES, ZERO)
    )


@pytest.mark.parametrize("share", [0.55, 0.9])
def test_the_optimum_on_repeated_comparisons_is_the_log_odds_of_their_outcomes(share: float) -> None:
    def loss(difference: float) -> float:
        d = torch.tensor([difference], dtype=torch.float64)
        return (share * bradley_terry_loss(d, 0 * d) + (1 - share) * bradley_terry_loss(0 * d, d)).item()

    best = minimize_scalar(loss, bounds=(-10, 10), method="bounded", options={"xatol": 1e-9}).x
    assert best == pytest.approx(math.log(share / (1 - share)), abs=1e-6)


@pytest.mark.parametrize("threshold", [1e-3, 0.3, 2.0, 400.0])
def test_win_loss_and_tie_are_all_that_can_happen(threshold: float) -> None:
    win = torch.exp(-bradley_terry_loss(DIFFERENCES, ZERO, threshold))
    lost = torch.exp(-bradley_terry_loss(ZERO, DIFFERENCES, threshold))
    tie = torch.exp(-tie_loss(DIFFERENCES, ZERO, threshold))
    assert torch.allclose(win + lost + tie, torch.ones_like(win), rtol=0, atol=1e-12)


def test_ties_are_rao_and_kuppers() -> None:
    """With worths π = eʳ and θ = e^η: (θ² − 1) π₁ π₂ / ((π₁ + θ π₂)(θ π₁ + π₂)); likeliest between equals."""
    theta, first, second = math.exp(0.4), DIFFERENCES.exp(), torch.ones_like(DIFFERENCES)
    expected = (theta**2 - 1) * first * second / ((first + theta * second) * (theta * first + second))
    found = torch.exp(-tie_loss(DIFFERENCES, ZERO, 0.4))
    assert torch.allclose(found, expected, rtol=1e-12)
    assert found.argmax() == 8
    assert torch.allclose(found, found.flip(0))


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_without_a_threshold_there_are_no_ties(threshold: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        tie_loss(DIFFERENCES, ZERO, threshold)


def test_centring_is_zero_for_opposite_rewards_and_blind_to_their_difference() -> None:
    assert torch.equal(centring_loss(DIFFERENCES, -DIFFERENCES), ZERO)
    assert torch.allclose(centring_loss(DIFFERENCES + 1, 1 - DIFFERENCES), torch.full_like(ZERO, 4.0))
    chosen, rejected = torch.tensor([3.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    centring_loss(chosen, rejected).sum().backward()
    assert chosen.grad == rejected.grad == 8.0
