"""The table of preference losses: what each may be set to, whether it needs a reference, and its value.

A new loss is one file in `truing/losses/`, one entry here and its name in `PreferenceConfig`. Defaults are the papers',
except that a mix with the SFT term was measured for DPO; `beta` of `robust_dpo` is DPO's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import model_validator
from torch import Tensor

from truing.core.config import Config
from truing.losses.apo import apo_down_loss, apo_zero_loss
from truing.losses.bco import bco_loss
from truing.losses.cpo import cpo_loss
from truing.losses.dpo import conservative_dpo_loss, dpo_loss, robust_dpo_loss
from truing.losses.hinge import hinge_loss
from truing.losses.ipo import ipo_loss
from truing.losses.kto import kto_loss
from truing.losses.nca import nca_pair_loss
from truing.losses.orpo import odds_ratio_loss
from truing.losses.pairs import PairScores
from truing.losses.sigmoid_norm import sigmoid_norm_loss
from truing.losses.simpo import simpo_loss

Settings = Mapping[str, float]


@dataclass(frozen=True)
class PairObjective:
    """A loss on pairs. `settings` are its keys with their defaults, None for one that must be given; `loss` gives
    [pairs]. Every loss has a `sft_weight`, the weight of the chosen answers' mean negative log-likelihood."""

    settings: Mapping[str, float | None]
    loss: Callable[[PairScores, Settings], Tensor]
    needs_reference: bool = True


@dataclass(frozen=True)
class AnswerObjective:
    """A loss on single answers: `loss` takes log-ratios [answers], which are good [answers], and the middle [] of
    log-ratios that they are compared with, and gives [answers]."""

    settings: Mapping[str, float | None]
    loss: Callable[[Tensor, Tensor, Tensor, Settings], Tensor]
    needs_reference: bool = True


PAIRS: dict[str, PairObjective] = {
    "dpo": PairObjective({"beta": 0.1, "sft_weight": 0.1}, lambda pairs, s: dpo_loss(pairs.margin(), s["beta"])),
    "cdpo": PairObjective(
        {"beta": 0.1, "flip_rate": None, "sft_weight": 0.1},
        lambda pairs, s: conservative_dpo_loss(pairs.margin(), s["beta"], s["flip_rate"]),
    ),
    "robust_dpo": PairObjective(
        {"beta": 0.1, "flip_rate": None, "sft_weight": 0.1},
        lambda pairs, s: robust_dpo_loss(pairs.margin(), s["beta"], s["flip_rate"]),
    ),
    "sigmoid_norm": PairObjective(
        {"beta": 5.0, "sft_weight": 0.0}, lambda pairs, s: sigmoid_norm_loss(pairs.mean_margin(), s["beta"])
    ),
    "ipo": PairObjective({"tau": 0.1, "sft_weight": 0.0}, lambda pairs, s: ipo_loss(pairs.margin(), s["tau"])),
    "hinge": PairObjective({"beta": 0.05, "sft_weight": 0.0}, lambda pairs, s: hinge_loss(pairs.margin(), s["beta"])),
    "nca": PairObjective({"beta": 0.01, "sft_weight": 0.0}, lambda pairs, s: nca_pair_loss(*pairs.ratios(), s["beta"])),
    "apo_zero": PairObjective(
        {"beta": 0.1, "sft_weight": 0.0}, lambda pairs, s: apo_zero_loss(*pairs.ratios(), s["beta"])
    ),
    "apo_down": PairObjective(
        {"beta": 0.1, "sft_weight": 0.0}, lambda pairs, s: apo_down_loss(*pairs.ratios(), s["beta"])
    ),
    "orpo": PairObjective(
        {"odds_weight": 0.1, "sft_weight": 1.0},
        lambda pairs, s: s["odds_weight"] * odds_ratio_loss(*pairs.means()),
        needs_reference=False,
    ),
    "simpo": PairObjective(
        {"beta": 2.0, "gamma": 1.0, "sft_weight": 0.0},
        lambda pairs, s: simpo_loss(*pairs.means(), s["beta"], s["gamma"]),
        needs_reference=False,
    ),
    "cpo": PairObjective(
        {"beta": 0.1, "sft_weight": 1.0},
        lambda pairs, s: cpo_loss(pairs.chosen, pairs.rejected, s["beta"]),
        needs_reference=False,
    ),
}

ANSWERS: dict[str, AnswerObjective] = {
    "kto": AnswerObjective(
        {"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0, "sft_weight": 0.0},
        lambda ratio, good, middle, s: kto_loss(
            ratio, good, middle, s["beta"], s["desirable_weight"], s["undesirable_weight"]
        ),
    ),
    "bco": AnswerObjective(
        {"beta": 0.01, "sft_weight": 0.0},
        lambda ratio, good, middle, s: bco_loss(ratio, good, middle, s["beta"]),
    ),
}

OBJECTIVES: dict[str, PairObjective | AnswerObjective] = {**PAIRS, **ANSWERS}


class LossConfig(Config):
    """A loss by its name in the table. Its settings are fields of the subclasses, None until the table's default fills
    them; what a loss does not take stays None."""

    loss: str

    @model_validator(mode="before")
    @classmethod
    def _settings_are_those_of_the_loss(cls, values: Any) -> Any:
        name = values.get("loss", cls.model_fields["loss"].default) if isinstance(values, Mapping) else None
        if not isinstance(name, str) or name not in OBJECTIVES:
            return values  # the field itself says what may stand there
        taken = OBJECTIVES[name].settings
        given = {key: value for key, value in values.items() if value is not None}
        for key in given:
            owners = [other for other, objective in OBJECTIVES.items() if key in objective.settings]
            if owners and key not in taken and key in cls.model_fields:
                belongs = f"{'losses' if len(owners) > 1 else 'loss'} {' and '.join(owners)}"
                raise ValueError(f"{key} belongs to the {belongs}; loss = {name!r} takes {' and '.join(taken)}")
        missing = [key for key, default in taken.items() if default is None and key not in given]
        if missing:
            raise ValueError(f"loss = {name!r} needs {missing[0]}, the share of wrong labels, above 0 and below 0.5")
        return {**taken, **given}

    def settings(self) -> dict[str, float]:
        """The settings of this loss."""
        return {key: getattr(self, key) for key in OBJECTIVES[self.loss].settings}
