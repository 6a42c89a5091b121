"""Length-normalised DPO: DPO on means; repeating an answer's tokens changes nothing."""

import torch

from truing.losses.dpo import dpo_loss
from truing.losses.pairs import PairScores
from truing.losses.sigmoid_norm import sigmoid_norm_loss


def pairs(times: int) -> PairScores:
    policy, reference = torch.tensor([[-3.0], [-8.0], [-4.0], [-6.0]], dtype=torch.float64).chunk(2)
    lengths = torch.tensor([3 * times, 4])
    scale = torch.tensor([[times], [1]])
    return PairScores(*(policy * scale), *lengths[:, None], *(reference * scale))


def test_it_is_dpo_where_every_answer_is_one_token_long() -> None:
    margins = torch.linspace(-3, 3, 7, dtype=torch.float64)
    assert torch.equal(sigmoid_norm_loss(margins, 5.0), dpo_loss(margins, 5.0))


def test_an_answer_of_twice_the_tokens_with_the_same_log_ratio_each_weighs_the_same() -> None:
    once, twice = pairs(1), pairs(2)
    assert torch.allclose(
        sigmoid_norm_loss(once.mean_margin(), 5.0), sigmoid_norm_loss(twice.mean_margin(), 5.0), rtol=0, atol=1e-15
    )
    assert not torch.allclose(dpo_loss(once.margin(), 5.0), dpo_loss(twice.margin(), 5.0))
