"""What training loops yield beside `core.records.Progress`: one record a step."""

from truing.core.records import Record


class TrainStep(Record):
    """One optimiser step. Log-probabilities are in nats and summed over an answer, unless said otherwise.

    margin, accuracy, rejected_logprob and kl are None where the algorithm has no pairs or no reference; the speed is
    None in a kept curve.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    rate: float
    gradient_norm: float
    tokens: int
    tokens_per_second: float | None
    mean_length: float
    chosen_logprob: float
    rejected_logprob: float | None = None
    margin: float | None = None
    accuracy: float | None = None
    kl: float | None = None
