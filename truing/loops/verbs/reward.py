"""The verb `reward`: comparisons in; a reward model, alone or an ensemble, and a report on the held-out rows out."""

from collections.abc import Collection, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from truing.core.config import Config
from truing.core.records import Comparison, Record
from truing.data.native import lines_of
from truing.evals.reward import ScoredPair, report, scored_pair
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.dataset import read_rows
from truing.loops.verbs.kinds import REWARD
from truing.loops.verbs.training import chat_of, keep_curve, keeping, one_of, twins, usable_rows, write_curve
from truing.train import reward
from truing.train.records import RewardStep

if TYPE_CHECKING:
    from truing.engine.chat import Chat
    from truing.providers.reward import RewardModel

_NAME = "reward"


class Reward:
    """A reward model from a dataset's training rows; both-bad rows are left out, and ties if `tie_threshold` is 0."""

    name, version, kind = "reward", reward.VERSION, REWARD
    config: type[Config] = reward.RewardConfig
    roles: Mapping[str, str] = {"data": "dataset"}
    optional_roles: Mapping[str, str] = {"start_from": "adapter"}
    uses_model = True

    def reads(self, _config: Config, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """Nothing outside the ledger."""
        return {}

    def run(self, step: Step, config: reward.RewardConfig) -> Generator[Record, None, StepResult]:
        """Write each member's adapter, head.safetensors and steps.jsonl; and reward.json, held_out.jsonl, report.json
        and report.html."""
        from truing.providers.reward import RewardModel, RewardSettings
        from truing.report.reward_page import render

        yield from step.context.notices()
        chat = chat_of(step)
        rows, left_out = usable_rows(step, lambda row: not row.both_bad and (not row.tie or config.tie_threshold > 0))
        settings = RewardSettings(
            members=config.members, combine=config.combine, variance_weight=config.variance_weight
        )
        metrics: dict[str, float | str | None] = {}
        for member in range(config.members):
            folder = settings.folder(step.folder, member)
            metrics = yield from _train_member(step, config, rows, chat, member, folder)
        settings.write(step.folder)
        model = RewardModel(step.context.trunk, step.folder, name=_NAME, store=step.context.ledger.store)
        try:
            held_out = read_rows(step.parent_folder("data"), "held_out")
            pairs = score_rows(model, [row for row in held_out if not (row.tie or row.both_bad)])
        finally:
            model.close()
        found = report(pairs)
        settings.model_copy(update={"temperature": found.temperature}).write(step.folder)
        lines = "".join(pair.model_dump_json() + "\n" for pair in pairs)
        (step.folder / "held_out.jsonl").write_text(lines, encoding="utf-8")
        (step.folder / "report.json").write_text(found.model_dump_json(indent=1), encoding="utf-8")
        curves = [(f"member {n}", read_curve(settings.folder(step.folder, n))) for n in range(config.members)]
        page = render(f"Reward model {step.name}", found, curves)
        (step.folder / "report.html").write_text(page, encoding="utf-8")
        metrics |= {
            "left_out": left_out,
            "held_out": found.pairs,
            "accuracy": found.accuracy.mean,
            "accuracy_low": found.accuracy.low,
            "accuracy_high": found.accuracy.high,
            "temperature": found.temperature,
            "calibration_error": found.calibration_error,
            "length_correlation": found.length.answers,
            "length_accuracy": found.length.length_alone.share,
        }
        return StepResult(metrics=metrics)


def _train_member(
    step: Step, config: reward.RewardConfig, rows: list[Comparison], chat: "Chat", member: int, folder: Path
) -> Generator[Record, None, dict[str, float | str | None]]:
    """Train one member into its folder; returns what the run settled and its last step."""
    from truing.engine.adapters import remove_adapter, save_adapter
    from truing.engine.scalar import new_head, save_head

    trunk, seed = step.context.trunk, reward.member_seed(step.seed, member)
    pairs = [
        reward.Judged(one_of(chat, row, row.chosen), one_of(chat, row, row.rejected), row.strength, row.tie)
        for row in rows
    ]
    kept = keeping(step, f"member-{member}" if config.members > 1 else "")
    head = new_head(trunk, seed, config.head_scale)
    curve = kept["checkpoint"].parent / "steps.jsonl"
    try:
        settled = yield from keep_curve(
            reward.train_reward(
                trunk,
                head,
                pairs,
                config,
                twins=twins(rows),
                seed=seed,
                member=member,
                name=_NAME,
                start_from=step.parent_folder("start_from") if "start_from" in step.parents else None,
                **kept,
            ),
            curve,
        )
        save_adapter(trunk, _NAME, folder)
        save_head(head, folder)
    finally:
        if trunk.peft is not None or trunk.full:
            remove_adapter(trunk, _NAME)
    last = write_curve(curve, folder / "steps.jsonl")
    return {**{name: last.get(name) for name in ("steps", "loss", "margin")}, **settled}


def score_rows(model: "RewardModel", rows: list[Comparison]) -> list[ScoredPair]:
    """Decided comparisons with their rewards. A row that does not fit the model is named."""
    sequences = [one_of(model.chat, row, answer) for row in rows for answer in (row.chosen, row.rejected)]
    scores = model.score_sequences(sequences) if rows else []
    lengths = [len(sequence.ids) - sequence.scored_from for sequence in sequences]
    return [
        scored_pair(row, scores[2 * n], scores[2 * n + 1], lengths[2 * n], lengths[2 * n + 1])
        for n, row in enumerate(rows)
    ]


def read_curve(folder: Path) -> list[RewardStep]:
    """A member's training curve."""
    return [RewardStep.model_validate_json(line) for line in lines_of(folder / "steps.jsonl")]
