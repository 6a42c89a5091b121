"""Best of n: how far it goes from its policy, how often it wins, and what its best answer is worth.

Beirami et al. 2024, "Theoretical guarantees on the best-of-n alignment policy" (arXiv 2401.01879). Numbers only: where
the rewards come from, and whether they are right, it does not know.
"""

import math
from collections.abc import Sequence

from truing.core.records import Record
from truing.core.statistics import cluster_bootstrap


class ExpectedBest(Record):
    """The reward that the best of `n` answers has in the mean over prompts, with a 95% interval (None where there are
    too few prompts to know), and the bounds for this n."""

    n: int
    reward: float
    low: float | None
    high: float | None
    kl_bound: float
    win_rate_bound: float


def kl_bound(n: int) -> float:
    """ln n − (n − 1)/n, nats: no best-of-n policy is further than this from the policy that it samples. It is reached
    where no two answers share a reward and none is likely."""
    return math.log(n) - (n - 1) / n


def win_rate_bound(n: int) -> float:
    """n/(n + 1): the share of duels with one more answer that the best of n can win at most, ties counted half."""
    return n / (n + 1)


def expected_best(rewards: Sequence[float], n: int) -> float:
    """The unbiased estimate of E[max of n answers] from N ≥ n of them: the mean of the maximum over all subsets of n,
    Σ_i C(i − 1, n − 1) r_(i) / C(N, n) with r_(1) ≤ … ≤ r_(N)."""
    count = len(rewards)
    if not 1 <= n <= count:
        raise ValueError(f"the best of {n} cannot be estimated from {count} rewards")
    total, share = 0.0, n / count  # of the highest rank i = N; C(i − 2, n − 1) = C(i − 1, n − 1) (i − n)/(i − 1)
    for rank, reward in zip(range(count, n - 1, -1), sorted(rewards, reverse=True), strict=False):
        total += share * reward
        share *= (rank - n) / max(rank - 1, 1)
    return total


def best_curve(rewards: Sequence[Sequence[float]], seed: int = 0) -> list[ExpectedBest]:
    """The expected best reward for n = 1, 2, 4, … and N, from N rewards of each prompt; the prompts are the units of
    the interval."""
    most = min(map(len, rewards))
    counts = [2**power for power in range(most.bit_length()) if 2**power < most]
    curve = []
    for n in (*counts, most):
        values = [expected_best(of_prompt, n) for of_prompt in rewards]
        low, high = cluster_bootstrap(values, range(len(values)), seed=seed)
        known = math.isfinite(low)
        curve.append(
            ExpectedBest(
                n=n,
                reward=math.fsum(values) / len(values),
                low=low if known else None,
                high=high if known else None,
                kl_bound=kl_bound(n),
                win_rate_bound=win_rate_bound(n),
            )
        )
    return curve
