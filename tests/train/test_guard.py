"""The guard of policy-gradient runs, held against scripted rounds: which weights are kept, what stops a run, and that a
run which goes on is judged as one that was never stopped."""

from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
import torch

from tests.train.rlhf import trunk
from truing.core.records import Progress, Record
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter
from truing.engine.trunk import Trunk
from truing.train.guard import guard
from truing.train.records import Guarded, PolicyStep, TrainStart
from truing.train.watched import GuardConfig

ROUNDS = 12
GUARD = GuardConfig(block=3, alpha=0.1)


def round_of(number: int, reward: float, gold: float | None) -> PolicyStep:
    return PolicyStep(
        step=number, steps=ROUNDS, epoch=0.0, loss=0.0, rate=1e-4, gradient_norm=1.0, tokens=1, tokens_per_second=None,
        mean_length=5.0, answers=4, reward=reward, reward_std=0.1, gold=gold, kl_k1=0.1 * number, kl_k3=0.1 * number,
        coefficient=0.1, entropy=1.0, eos_rate=1.0, distinct_2=0.9, step_kl=0.0, clip_fraction=0.0, updates=1,
        advantage_mean=0.0, advantage_std=1.0, rollout_seconds=None, training_seconds=None,
    )  # fmt: skip


def scripted(
    on: Trunk, golds: Sequence[float | None], curve: Path, done: int = 0, closed: list[bool] | None = None
) -> Generator[Record, None, None]:
    """A trainer whose weights are all n after round n, whose reward is n, and whose rounds find the given gold."""
    yield TrainStart(
        done=done, computed=("here",), microbatch_tokens=1, asked_tokens=1, needed_bytes=None, available_bytes=1
    )
    try:
        for number in range(done + 1, len(golds) + 1):
            yield Progress(stage="rollouts", done=1, total=1)
            _fill(on, float(number))
            step = round_of(number, float(number), golds[number - 1])
            yield step
            with curve.open("a") as file:
                file.write(step.model_dump_json() + "\n")
    finally:
        if closed is not None:
            closed.append(True)


def _fill(on: Trunk, number: float) -> None:
    with torch.no_grad():
        for parameter in adapter_parameters(on, "policy").values():
            parameter.fill_(number)


def fresh() -> Trunk:
    on = trunk()
    add_adapter(on, "policy", AdapterConfig(rank=2, upper_layers=1), seed=0)
    _fill(on, 0.0)
    return on


def held(on: Trunk) -> float:
    (number,) = {float(value) for one in adapter_parameters(on, "policy").values() for value in one.detach().unique()}
    return number


def run(
    on: Trunk, golds: Sequence[float | None], folder: Path, config: GuardConfig = GUARD, done: int = 0
) -> tuple[int, Guarded]:
    """How many rounds passed, and the end."""
    closed: list[bool] = []
    records = scripted(on, golds, folder / "curve", done, closed)
    *passed, end = guard(records, on, "policy", config, ROUNDS, folder / "curve", folder / "best.safetensors")
    assert isinstance(end, Guarded)
    assert closed
    return sum(isinstance(record, PolicyStep) for record in passed), end


def test_the_policy_that_drew_the_best_round_is_kept(tmp_path: Path) -> None:
    on = fresh()
    passed, end = run(on, [0.1, 0.2, 0.5, 0.4, 0.4], tmp_path, GuardConfig(block=3, stop=False))
    assert (passed, end.kept_step, end.kept_gold) == (5, 3, 0.5)
    assert held(on) == 2.0  # what round 3 measured are the weights that round 2 left


def test_without_gold_the_last_weights_stay(tmp_path: Path) -> None:
    on = fresh()
    passed, end = run(on, [None] * 5, tmp_path)
    assert (passed, end.kept_step, end.alarms, held(on)) == (5, None, (), 5.0)


def test_of_the_critic_the_same_time_is_kept(tmp_path: Path) -> None:
    on, critic = fresh(), {"head.weight": torch.zeros(3)}
    golds = [0.1, 0.2, 0.5, 0.4, 0.4]
    config = GuardConfig(block=3, stop=False)

    def passed(done: int, upto: int) -> None:
        records = scripted(on, golds[:upto], tmp_path / "curve", done)
        for record in guard(records, on, "policy", config, ROUNDS, tmp_path / "curve", tmp_path / "best", critic):
            if isinstance(record, PolicyStep):
                critic["head.weight"].fill_(10.0 * record.step)

    passed(0, 3)
    assert critic["head.weight"].tolist() == [20.0] * 3  # from before round 3, as the policy's
    critic["head.weight"].fill_(30.0)
    passed(3, 5)  # goes on after a stop: the best is read again
    assert (critic["head.weight"].tolist(), held(on)) == ([20.0] * 3, 2.0)


def test_a_round_s_refusals_reach_the_watch_of_a_run_that_goes_on(tmp_path: Path) -> None:
    def refusing(number: int) -> PolicyStep:
        share = 0.0 if number <= 3 else 0.75
        return round_of(number, 0.0, None).model_copy(update={"benign_answers": 8, "benign_refused": share})

    curve = tmp_path / "curve"
    curve.write_text("".join(refusing(number).model_dump_json() + "\n" for number in range(1, 6)))

    def goes_on() -> Generator[Record, None, None]:
        yield TrainStart(
            done=5, computed=("here",), microbatch_tokens=1, asked_tokens=1, needed_bytes=None, available_bytes=1
        )
        yield refusing(6)
        raise AssertionError("the run should have been stopped")

    *_, end = guard(goes_on(), fresh(), "policy", GUARD, ROUNDS, curve, tmp_path / "best")
    assert isinstance(end, Guarded)
    assert [(alarm.signal, alarm.step) for alarm in end.alarms] == [("benign", 4)]


HACKED = [0.80, 0.82, 0.84, 0.90, 0.88, 0.86, 0.12, 0.10, 0.08, -1.0, -1.1, -1.2]


def test_a_run_whose_gold_falls_while_its_reward_rises_is_stopped_and_named(tmp_path: Path) -> None:
    on = fresh()
    passed, end = run(on, HACKED, tmp_path)
    assert passed == 9  # the end of the block in which gold is below, and reward above, an earlier one
    assert [alarm.signal for alarm in end.alarms] == ["gold"]
    assert (end.kept_step, held(on)) == (4, 3.0)


def test_an_honest_run_is_not_stopped(tmp_path: Path) -> None:
    passed, end = run(fresh(), [0.1 * number for number in range(ROUNDS)], tmp_path)
    assert (passed, end.alarms, end.kept_step) == (ROUNDS, (), ROUNDS)


def test_alarms_are_only_told_where_the_run_shall_go_on(tmp_path: Path) -> None:
    passed, end = run(fresh(), HACKED, tmp_path, GuardConfig(block=3, alpha=0.1, stop=False))
    assert passed == ROUNDS
    assert [alarm.signal for alarm in end.alarms] == ["gold"]


@pytest.mark.parametrize("stopped_after", [1, 4, 6, 8])
def test_a_run_that_goes_on_is_judged_like_one_that_was_never_stopped(tmp_path: Path, stopped_after: int) -> None:
    whole_folder, folder = tmp_path / "whole", tmp_path / "stopped"
    whole_folder.mkdir(), folder.mkdir()
    whole, again = fresh(), fresh()
    passed, end = run(whole, HACKED, whole_folder)
    run(again, HACKED[:stopped_after], folder)
    with (folder / "curve").open("a") as file:
        file.write('{"step": 9, "cut')  # a kill in the middle of a line
    again = fresh()
    _fill(again, float(stopped_after))
    left, end_again = run(again, HACKED, folder, done=stopped_after)
    assert (stopped_after + left, end_again) == (passed, end)
    assert held(again) == held(whole)
