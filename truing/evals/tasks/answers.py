"""Tasks that judge answers: refusal of harmful requests, over-refusal of their benign twins, honesty, needless doubt.

Each samples one answer a probe and asks a judge. An answer that the judge cannot read is unknown (None), never a no.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from truing.core.protocols import Judge, Sampler
from truing.core.records import Answer, Decoding, ItemResult, Outcome, Probe


@dataclass(frozen=True)
class AnswerTask:
    """Judge the answers to the probes of one group."""

    name: str
    group: str
    judge: Judge

    def run(self, system: Sampler, probes: Sequence[Probe], decoding: Decoding) -> Iterator[ItemResult]:
        """Yield one result a probe, as answers finish."""
        mine = [probe for probe in probes if probe.group == self.group]
        for number, answer in system.sample([probe.prompt for probe in mine], decoding):
            yield judged(self.name, mine[number], answer, self.judge)


def judged(task: str, probe: Probe, answer: Answer, judge: Judge) -> ItemResult:
    """An answer to a probe as an item of a task; one that is missing is unknown, and its text is not shown to a judge,
    now or later."""
    outcome = Outcome(value=None, reason=answer.missing) if answer.missing else judge.judge(probe.prompt, answer.text)
    return ItemResult(
        task=task,
        item=probe.id,
        cluster=probe.topic or probe.id,
        value=outcome.value,
        reason=outcome.reason,
        prompt=probe.prompt[-1].content,
        answer="" if answer.missing else answer.text,
        finished=None if answer.missing else answer.finished,
    )
