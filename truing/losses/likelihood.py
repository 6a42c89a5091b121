"""Supervised fine-tuning: the negative log-likelihood of the answers' tokens."""

from torch import Tensor


def sft_loss(token_logprobs: Tensor, tokens_in_batch: int) -> Tensor:
    """−Σ log π(y_t | x, y_<t) / T.

    token_logprobs [t] of one micro-batch (nats); `tokens_in_batch` T is the whole batch's number of scored tokens, so
    that micro-batches add up to the batch's mean whatever their sizes. Returns a scalar.
    """
    return -token_logprobs.sum() / tokens_in_batch
