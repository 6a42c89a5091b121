"""Drawn answers against the bare model's, by a reward that training did not see; and how far the policy has moved.

Each side answers each probe's prompt once, at temperature 1, with the same random numbers. The reward is an estimate of
what people would say: a win is one by its taste, and how good that is must be measured for itself.
"""

import math
from collections.abc import Generator, Iterator, Sequence

from truing.core.protocols import Reward, Sampler, SamplerScorer
from truing.core.records import Answer, Conversation, Decoding, ItemResult, Probe, Progress

TASK = "win_rate"


def duels(
    system: Sampler, reference: SamplerScorer, gold: Reward, probes: Sequence[Probe], decoding: Decoding
) -> Iterator[Progress | ItemResult]:
    """Yield `Progress` while answers are drawn, and then an item for each probe.

    value: 1 where the system's answer y has the higher reward, 0 where the reference's has, ½ where both have the same.
    detail: `reward` and `reference_reward`; `tokens` and `reference_tokens`, end of turn included; `kl`, in nats:
    log π(y) − log π_ref(y) over the tokens as drawn, the end only where it was drawn. Its mean over answers estimates
    KL(π ‖ π_ref) without bias; that of one answer may be negative. `finished` is y's.
    """
    if decoding.temperature != 1.0:
        raise ValueError(f"temperature {decoding.temperature}: the divergence is that of answers drawn at 1")
    prompts = [probe.prompt for probe in probes]
    own = yield from _drawn(system, prompts, decoding, "drawing answers")
    others = yield from _drawn(reference, prompts, decoding, "drawing the bare model's answers")
    rewards, against = (gold.score(list(zip(prompts, answers, strict=True))) for answers in (own, others))
    scores = dict(reference.score(list(zip(prompts, own, strict=True))))
    for number, (probe, answer, other) in enumerate(zip(probes, own, others, strict=True)):
        difference = rewards[number] - against[number]
        kl = sum(answer.logprobs) - sum(scores[number])
        yield ItemResult(
            task=TASK,
            item=probe.id,
            cluster=probe.topic or probe.id,
            value=(1 + (difference > 0) - (difference < 0)) / 2,
            prompt=probe.prompt[-1].content,
            answer=answer.text,
            finished=answer.finished,
            detail={
                "reward": rewards[number],
                "reference_reward": against[number],
                "kl": kl if math.isfinite(kl) else None,
                "tokens": float(len(answer.logprobs)),
                "reference_tokens": float(len(other.logprobs)),
            },
        )


def _drawn(
    system: Sampler, prompts: Sequence[Conversation], decoding: Decoding, stage: str
) -> Generator[Progress, None, list[Answer]]:
    """One answer to each prompt, in their order."""
    answers: dict[int, Answer] = {}
    for number, answer in system.sample(prompts, decoding):
        answers[number] = answer
        yield Progress(stage=stage, done=len(answers), total=len(prompts))
    return [answers[number] for number in range(len(prompts))]
