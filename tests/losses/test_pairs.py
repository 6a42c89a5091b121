"""What losses see of a pair: log-ratios, the margin between them, and no reference by accident."""

import pytest
import torch

from truing.losses.dpo import adjusted_margin
from truing.losses.pairs import PairScores

POLICY = torch.tensor([[-4.0, -9.0], [-6.0, -2.0]], dtype=torch.float64)  # chosen, rejected
REFERENCE = torch.tensor([[-5.0, -8.0], [-3.0, -2.0]], dtype=torch.float64)
LENGTHS = torch.tensor([[2, 5], [4, 1]])


def test_ratios_margins_and_means_on_numbers_worked_out_by_hand() -> None:
    pairs = PairScores(*POLICY, *LENGTHS, *REFERENCE)
    chosen, rejected = pairs.ratios()
    assert chosen.tolist() == [1, -1]
    assert rejected.tolist() == [-3, 0]
    assert pairs.margin().tolist() == [4, -1] == adjusted_margin(*POLICY, *REFERENCE).tolist()
    assert pairs.mean_margin().tolist() == [1 / 2 + 3 / 4, -1 / 5]
    assert [mean.tolist() for mean in pairs.means()] == [[-2, -9 / 5], [-3 / 2, -2]]


@pytest.mark.parametrize("ask", ["ratios", "margin", "mean_margin"])
def test_pairs_without_a_reference_have_no_log_ratio(ask: str) -> None:
    with pytest.raises(ValueError, match="without a reference"):
        getattr(PairScores(*POLICY, *LENGTHS), ask)()
