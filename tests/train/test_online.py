"""Online DPO: which answer of a pair is preferred, equal ones say nothing, and the first step knows nothing."""

import math

import pytest
import torch

from tests.train.rlhf import ROLLOUT, each, steps_of, train, trunk
from tests.train.test_rollouts import drawn
from truing.core.errors import InputError
from truing.train.iteration import Batch
from truing.train.online import OnlineDPOConfig, preferred
from truing.train.rollouts import Rollouts


def test_the_better_answer_of_each_pair_is_preferred_and_equal_ones_say_nothing() -> None:
    rollouts = drawn(trunk(), ROLLOUT.model_copy(update={"samples": 2}))
    scores = torch.tensor([1.0, 2.0, 3.0, 3.0, 0.0, -1.0], dtype=torch.float64)
    batch = Batch(Rollouts(**{**rollouts.__dict__, "scores": scores}), torch.empty(0), rollouts.drawn)
    assert preferred(batch).tolist() == [-1, 1, 0, 0, 1, -1]


def test_before_the_first_update_the_loss_is_ln_2_for_each_decided_pair() -> None:
    changes = {"iterations": 1, "minibatch_prompts": 6, "epochs": 1}
    length = each(lambda _prompt, answer: len(answer.token_ids) + sum(answer.token_ids) / 100)
    (record,) = steps_of(train("online", trunk(), length, changes))
    decided = record.advantage_std**2  # the share of pairs that are not equal
    assert record.loss == pytest.approx(decided * math.log(2), abs=1e-9)
    (equal,) = steps_of(train("online", trunk(), each(lambda _prompt, _answer: 1.0), changes))
    assert equal.reward_std == 0


def test_it_takes_pairs_and_a_price() -> None:
    for wrong in ({"rollout": {"samples": 4}}, {"kl": {"coefficient": 0.0}}):
        with pytest.raises(InputError, match=r"needs rollout\.samples = 2 and a kl\.coefficient above 0"):
            OnlineDPOConfig.parse(wrong, "here")
