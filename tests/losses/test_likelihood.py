"""The SFT loss against cross-entropy."""

import torch
from torch.nn.functional import cross_entropy

from truing.losses.likelihood import sft_loss


def test_it_is_cross_entropy_and_microbatches_add_up() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(10, 7, dtype=torch.float64), torch.randint(0, 7, (10,))
    logprobs = logits.log_softmax(-1)[range(10), targets]
    whole = sft_loss(logprobs, 10)
    assert torch.allclose(whole, cross_entropy(logits, targets))
    assert torch.allclose(sft_loss(logprobs[:3], 10) + sft_loss(logprobs[3:], 10), whole)
