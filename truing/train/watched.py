"""What the guard watches of a policy-gradient run, and within which bands. Imports no torch: a report reads it, too."""

from collections.abc import Sequence

from pydantic import Field

from truing.core.watch import Bands, Iteration, Reading, WatchConfig, watch
from truing.starter import STARTER
from truing.train.records import PolicyStep


class GuardConfig(Bands):
    """The bands of `core/watch.py`. `stop`: end the run at the first alarm; otherwise alarms are only told. A run of
    fewer than two blocks is not watched. `benign` says where harmless prompts come from: a file of probes, `starter`
    (those that come with truing), or "" for none; `benign_prompts` of them are asked in a round, for answers of at most
    `benign_tokens`."""

    stop: bool = Field(default=True)
    benign: str = STARTER
    benign_prompts: int = Field(default=8, ge=1)
    benign_tokens: int = Field(default=24, ge=1)


def readings(points: Sequence[Iteration], config: GuardConfig, iterations: int) -> list[Reading]:
    """Every signal's state after these rounds of a run of `iterations`."""
    bands = config.model_dump(include=set(Bands.model_fields))
    return watch(points, WatchConfig(iterations=max(2, iterations), **bands))


def iteration_of(step: PolicyStep) -> Iteration:
    """What the watch looks at of a round."""
    asked, known = step.benign_answers, step.benign_answers - step.benign_unknown
    return Iteration(
        step=step.step,
        proxy=step.reward,
        gold=step.gold,
        kl=step.kl_k1,
        distinct=step.distinct_2,
        end=step.eos_rate,
        length=step.mean_length,
        benign=(step.benign_refused or 0.0) * known / asked if asked else None,
        unjudged=step.benign_unknown / asked if asked else 0.0,
    )
