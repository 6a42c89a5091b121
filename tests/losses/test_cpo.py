"""CPO is DPO whose reference says the same of every answer."""

import torch

from truing.losses.cpo import cpo_loss
from truing.losses.dpo import adjusted_margin, dpo_loss


def test_it_is_dpo_with_a_uniform_reference() -> None:
    torch.manual_seed(0)
    chosen, rejected = torch.randn(2, 9, dtype=torch.float64) * 10
    reference = torch.full((9,), -12.3, dtype=torch.float64)
    expected = dpo_loss(adjusted_margin(chosen, rejected, reference, reference), 0.1)
    assert torch.allclose(cpo_loss(chosen, rejected, 0.1), expected, rtol=0, atol=1e-12)
    assert torch.allclose(cpo_loss(chosen + 5, rejected + 5, 0.1), expected, rtol=0, atol=1e-12)
