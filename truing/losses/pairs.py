"""What a preference loss may look at: two answers to one prompt, scored by the policy and by the reference.

A log-ratio is log π(y|x) − log π_ref(y|x), in nats: times β it is the reward that the policy implies (Rafailov et al.
2023, arXiv:2305.18290, equation 5, up to a term of the prompt alone). Losses without a reference look at log π alone.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PairScores:
    """Tensors [pairs]: each answer's summed log-probability (nats) and number of scored tokens, and the reference's
    summed log-probability, None where there is none."""

    chosen: Tensor
    rejected: Tensor
    chosen_length: Tensor
    rejected_length: Tensor
    reference_chosen: Tensor | None = None
    reference_rejected: Tensor | None = None

    def ratios(self) -> tuple[Tensor, Tensor]:
        """The log-ratios of chosen and rejected answers. Raises `ValueError` without a reference."""
        if self.reference_chosen is None or self.reference_rejected is None:
            raise ValueError("these pairs were scored without a reference, and a log-ratio needs one")
        return self.chosen - self.reference_chosen, self.rejected - self.reference_rejected

    def margin(self) -> Tensor:
        """h, the difference of the log-ratios. Raises `ValueError` without a reference."""
        chosen, rejected = self.ratios()
        return chosen - rejected

    def mean_margin(self) -> Tensor:
        """h with every log-ratio divided by its answer's length. Raises `ValueError` without a reference."""
        chosen, rejected = self.ratios()
        return chosen / self.chosen_length - rejected / self.rejected_length

    def means(self) -> tuple[Tensor, Tensor]:
        """The mean log-probabilities of a token of the chosen and of the rejected answers."""
        return self.chosen / self.chosen_length, self.rejected / self.rejected_length
