"""What every training loop needs of an optimiser: AdamW, warm-up and cosine, clipping, a stop on NaN, and the loop.

AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101. Cosine: Loshchilov and Hutter 2017, arXiv:1608.03983, without
restarts.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from truing.core.config import Config
from truing.core.errors import RunError
from truing.train.checkpoint import Checkpoints
from truing.train.records import TrainStep

Taken = TypeVar("Taken", bound=TrainStep)


class OptimiserConfig(Config):
    """`warmup` is a share of all steps; the rate then falls along a cosine to `final_rate` of its peak."""

    learning_rate: float = Field(default=5e-4, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    final_rate: float = Field(default=0.1, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)


def rate_at(step: int, steps: int, config: OptimiserConfig) -> float:
    """The learning rate of step `step` (from 0) of `steps`: linear up to the peak, then a cosine down."""
    warmup = round(config.warmup * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    share = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * share


def optimiser(parameters: dict[str, torch.nn.Parameter], config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW over named parameters, in their order."""
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    return torch.optim.AdamW(parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay)


def take_step(adamw: torch.optim.AdamW, loss: float, step: int, steps: int, config: OptimiserConfig) -> float:
    """Clip, check, and step; returns the gradient's norm before clipping. Each group of parameters is clipped by
    itself, and a group's "factor", where it has one, multiplies its rate.

    Raises `RunError` where the loss or the gradient is not a finite number; the weights are then still those of the
    last step.
    """
    norms = [torch.nn.utils.clip_grad_norm_(group["params"], config.clip_norm) for group in adamw.param_groups]
    norm: Tensor = torch.stack(norms).norm()
    if not (math.isfinite(loss) and math.isfinite(norm.item())):
        raise RunError(
            f"step {step + 1} of {steps}: the loss is {loss} and the gradient's norm {norm.item()}; training stopped "
            "and the last checkpoint is kept. Lower the learning rate, or look at this batch's rows"
        )
    for group in adamw.param_groups:
        group["lr"] = rate_at(step, steps, config) * group.get("factor", 1.0)
    adamw.step()
    adamw.zero_grad(set_to_none=True)
    return norm.item()


def take_steps(
    adamw: torch.optim.AdamW,
    kept: Checkpoints,
    order: Sequence[tuple[int, float, list[int]]],
    config: OptimiserConfig,
    gradient: Callable[[int, list[int]], dict[str, Any]],
    kind: type[Taken],
) -> Iterator[Taken]:
    """The steps of a run that its checkpoint does not hold yet, one record of the given kind each. `order` is the run's
    schedule; `gradient` takes a step's number (from 0) and its rows, accumulates their gradient, and returns what the
    step's record says of it. Raises `RunError` as `take_step` does."""
    steps = len(order)
    for step, epoch, batch in order[kept.done :]:
        started = time.perf_counter()
        found = gradient(step, batch)
        norm = take_step(adamw, found["loss"], step, steps, config)
        tokens = int(found.pop("tokens"))
        yield kind(
            step=step + 1,
            steps=steps,
            epoch=epoch,
            rate=rate_at(step, steps, config),
            gradient_norm=norm,
            tokens=tokens,
            tokens_per_second=tokens / (time.perf_counter() - started),
            **found,
        )
        kept.after(step + 1)
