"""NCA on pairs: the chosen answer goes up by a bounded amount, whatever becomes of the rejected one."""

import math

import pytest
import torch
from scipy.optimize import minimize_scalar

from truing.losses.nca import nca_pair_loss


def loss(chosen: float, rejected: float, beta: float = 0.1) -> float:
    ratios = torch.tensor([chosen, rejected], dtype=torch.float64)
    return nca_pair_loss(ratios[0], ratios[1], beta).item()


def test_at_the_start_it_is_two_ln_2() -> None:
    assert loss(0.0, 0.0) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("rejected", [-20.0, 0.0, 5.0])
def test_the_chosen_ratios_optimum_is_ln_2_over_beta(rejected: float) -> None:
    found = minimize_scalar(lambda chosen: loss(chosen, rejected), bounds=(-100, 100), method="bounded").x
    assert found == pytest.approx(math.log(2) / 0.1, abs=1e-3)


def test_the_rejected_answer_goes_down_without_an_end() -> None:
    values = [loss(0.0, rejected) for rejected in (10.0, 0.0, -10.0, -100.0)]
    assert values == sorted(values, reverse=True)
