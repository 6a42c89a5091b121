"""DPO and its variants against closed forms."""

import math

import pytest
import torch
from scipy.optimize import minimize_scalar

from truing.losses.dpo import adjusted_margin, conservative_dpo_loss, dpo_loss, kl_estimate, robust_dpo_loss

MARGINS = torch.linspace(-8, 8, 17, dtype=torch.float64)


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
def test_at_the_start_every_loss_is_ln_2(beta: float) -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    for loss in (dpo_loss(zero, beta), conservative_dpo_loss(zero, beta, 0.2), robust_dpo_loss(zero, beta, 0.2)):
        assert torch.allclose(loss, torch.full((3,), math.log(2), dtype=torch.float64))


def test_the_gradient_is_the_papers() -> None:
    """∇L = −β σ(−βh)(∇ log π(y_w) − ∇ log π(y_l)), the display after equation 7."""
    beta = 0.3
    chosen, rejected = MARGINS.clone().requires_grad_(), torch.zeros_like(MARGINS, requires_grad=True)
    reference = torch.zeros_like(MARGINS)
    margin = adjusted_margin(chosen, rejected, reference, reference)
    dpo_loss(margin, beta).sum().backward()
    expected = -beta * torch.sigmoid(-beta * MARGINS)
    assert torch.allclose(chosen.grad, expected)
    assert torch.allclose(rejected.grad, -expected)


def test_the_margin_is_adjusted_by_the_reference_and_swaps_sign_with_the_labels() -> None:
    a, b, ra, rb = torch.randn(4, 5, dtype=torch.float64)
    assert torch.allclose(adjusted_margin(a, b, ra, rb), -adjusted_margin(b, a, rb, ra))
    assert torch.allclose(adjusted_margin(a, b, a, b), torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("probability", [0.6, 0.9])
def test_the_optimum_under_label_noise_is_logit_p_over_beta(probability: float) -> None:
    beta = 0.1

    def expected_loss(h: float) -> float:
        margin = torch.tensor([h], dtype=torch.float64)
        return (probability * dpo_loss(margin, beta) + (1 - probability) * dpo_loss(-margin, beta)).item()

    best = minimize_scalar(expected_loss, bounds=(-100, 100), method="bounded", options={"xatol": 1e-8}).x
    assert best == pytest.approx(math.log(probability / (1 - probability)) / beta, abs=1e-3)


def test_conservative_dpo_has_a_finite_optimum() -> None:
    beta, flip = 0.2, 0.1
    best = minimize_scalar(
        lambda h: conservative_dpo_loss(torch.tensor([h], dtype=torch.float64), beta, flip).item(),
        bounds=(-100, 100),
        method="bounded",
        options={"xatol": 1e-8},
    ).x
    assert best == pytest.approx(math.log((1 - flip) / flip) / beta, abs=1e-3)


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.4])
def test_robust_dpo_is_unbiased_under_label_flips(flip: float) -> None:
    noisy = (1 - flip) * robust_dpo_loss(MARGINS, 0.1, flip) + flip * robust_dpo_loss(-MARGINS, 0.1, flip)
    assert torch.allclose(noisy, dpo_loss(MARGINS, 0.1), rtol=0, atol=1e-12)


def test_without_flips_all_three_agree() -> None:
    assert torch.equal(conservative_dpo_loss(MARGINS, 0.1, 0.0), dpo_loss(MARGINS, 0.1))
    assert torch.equal(robust_dpo_loss(MARGINS, 0.1, 0.0), dpo_loss(MARGINS, 0.1))


@pytest.mark.parametrize("flip", [-0.1, 0.5, 1.0])
def test_an_impossible_flip_rate_is_refused(flip: float) -> None:
    with pytest.raises(ValueError, match=r"below 0\.5"):
        robust_dpo_loss(MARGINS, 0.1, flip)


def test_the_kl_estimate_is_unbiased_under_the_policy() -> None:
    """E_π[r − 1 − ln r] = KL(π ‖ π_ref), summed exactly over a categorical distribution."""
    torch.manual_seed(0)
    policy, reference = torch.randn(2, 7, dtype=torch.float64).log_softmax(-1)
    exact = (policy.exp() * (policy - reference)).sum()
    per_token = torch.stack([kl_estimate(policy[i : i + 1], reference[i : i + 1]) for i in range(7)])
    assert torch.allclose((policy.exp() * per_token).sum(), exact)


def test_the_bandits_population_optimum_is_the_kl_regularised_policy() -> None:
    """DPO on all pairs with Bradley–Terry labels arrives at π* ∝ π_ref exp(r/β): (.1790, .2919, .5291)."""
    reference = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    reward = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)
    first, second = torch.triu_indices(3, 3, offset=1)

    def closure() -> torch.Tensor:
        search.zero_grad()
        policy = logits.log_softmax(-1)
        margin = adjusted_margin(policy[first], policy[second], reference[first], reference[second])
        preferred = torch.sigmoid(reward[first] - reward[second])
        loss = (preferred * dpo_loss(margin, 1.0) + (1 - preferred) * dpo_loss(-margin, 1.0)).sum()
        loss.backward()
        return loss

    search.step(closure)
    policy = logits.softmax(-1)
    assert torch.allclose(policy, torch.tensor([0.1790, 0.2919, 0.5291], dtype=torch.float64), atol=1e-3)
    assert (policy * (policy.log() - reference)).sum().item() == pytest.approx(0.3228, rel=1e-2)  # KL*
    assert (policy * reward).sum().item() == pytest.approx(1.3501, rel=1e-2)
