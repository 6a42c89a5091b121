"""Every loss on the tiny model: micro-batches do not matter, a resumed run ends in the same bits, and a loss without a
reference computes none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.train.test_checkpoint import plain, same
from tests.train.test_training import ADAPTER, FAST, PAIRS, SFT, steps_of, train, trunk, weights
from truing.core.errors import InputError
from truing.core.protocols import MemoryStore
from truing.core.records import Progress
from truing.engine.adapters import save_adapter
from truing.engine.tree import TokenSequence
from truing.train.objectives import ANSWERS, OBJECTIVES
from truing.train.objectives import PAIRS as PAIR_LOSSES
from truing.train.preference import PreferenceConfig
from truing.train.records import TrainStart, TrainStep
from truing.train.unpaired import UnpairedConfig, train_unpaired

EVERY = pytest.mark.parametrize("loss", OBJECTIVES)
ANSWERS_OF = [(row, number % 3 == 0) for number, row in enumerate(row for pair in PAIRS for row in pair)]


def config(loss: str) -> PreferenceConfig:
    """Two epochs of two steps each, with an SFT term beside the loss."""
    values = {"loss": loss, "sft_weight": 0.5, "epochs": 2, "batch_rows": 6, "checkpoint_every": 2}
    values |= {"flip_rate": 0.1} if loss in ("cdpo", "robust_dpo") else {}
    return PreferenceConfig(**values, adapter=ADAPTER, optimiser=FAST)


def unpaired(loss: str) -> UnpairedConfig:
    """Three epochs of one step each."""
    return UnpairedConfig(
        loss=loss,  # type: ignore[arg-type]
        epochs=3,
        batch_rows=20,
        checkpoint_every=1,
        adapter=ADAPTER,
        optimiser=FAST,
    )


def run_of(loss: str, **options: object) -> tuple[list[torch.Tensor], list[TrainStep]]:
    on = trunk()
    return weights_after(on, train(on, config(loss), **options))


def weights_after(on: object, items: Iterator[object]) -> tuple[list[torch.Tensor], list[TrainStep]]:
    records = steps_of(items)  # type: ignore[arg-type]
    return weights(on), records  # type: ignore[arg-type]


def over_the_pairs(what: str, epoch: list[TrainStep]) -> float:
    """The mean of an epoch's records, which see six pairs and then the other four."""
    return sum(pairs * getattr(record, what) for pairs, record in zip((6, 4), epoch, strict=True)) / len(PAIRS)


@EVERY
def test_it_learns_whatever_the_microbatches_and_stopped_anywhere_ends_in_the_same_bits(
    loss: str, tmp_path: Path
) -> None:
    whole, path = tmp_path / "whole.safetensors", tmp_path / "run.safetensors"
    expected, curve = run_of(loss, checkpoint=whole)
    assert over_the_pairs("loss", curve[2:]) < over_the_pairs("loss", curve[:2])
    assert over_the_pairs("margin", curve[2:]) > over_the_pairs("margin", curve[:2])

    on = trunk()
    single = weights_after(on, train(on, config(loss).model_copy(update={"microbatch_tokens": 1})))
    for one, two in zip(expected, single[0], strict=True):
        assert torch.allclose(one, two, rtol=0, atol=1e-7)
    assert [record.loss for record in single[1]] == pytest.approx([record.loss for record in curve])

    store = MemoryStore()
    items, seen = train(trunk(), config(loss), checkpoint=path, store=store), []
    while not seen or seen[-1].step < 3:
        seen += steps_of(iter([next(items)]))
    items.close()  # type: ignore[attr-defined]
    resumed = trunk()
    rest = list(train(resumed, config(loss), checkpoint=path, store=store))
    (start,) = (item for item in rest if isinstance(item, TrainStart))
    assert start.done == 2
    assert all(torch.equal(one, two) for one, two in zip(expected, weights(resumed), strict=True))
    assert same(load_file(whole), load_file(path))
    by_step = {record.step: record for record in [*seen, *steps_of(iter(rest))]}
    assert plain([by_step[step] for step in sorted(by_step)]) == plain(curve)


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_the_reference_pass_runs_for_the_losses_that_look_at_one(loss: str) -> None:
    items = list(train(trunk(), config(loss)))
    passes = [item for item in items if isinstance(item, Progress) and item.stage == "reference"]
    assert bool(passes) == PAIR_LOSSES[loss].needs_reference
    assert all((record.kl is not None) == bool(passes) for record in steps_of(iter(items)))


def test_a_loss_without_a_reference_starts_from_an_adapter_all_the_same(tmp_path: Path) -> None:
    on = trunk()
    list(train(on, SFT))
    save_adapter(on, "policy", tmp_path / "sft")
    bare, after = run_of("simpo")[1][0], run_of("simpo", start_from=tmp_path / "sft")[1][0]
    assert after.chosen_logprob is not None
    assert bare.chosen_logprob is not None
    assert after.chosen_logprob > bare.chosen_logprob


@pytest.mark.parametrize("loss", ANSWERS)
def test_judged_answers_learn_move_apart_and_resume(loss: str, tmp_path: Path) -> None:
    path, results = tmp_path / "run.safetensors", []
    whole, stopped = trunk(), trunk()
    results.append(weights_after(whole, train_unpaired(whole, ANSWERS_OF, unpaired(loss))))
    items = train_unpaired(stopped, ANSWERS_OF, unpaired(loss), checkpoint=path)
    next(item for item in items if isinstance(item, TrainStep) and item.step == 3)
    resumed = trunk()
    results.append(weights_after(resumed, train_unpaired(resumed, ANSWERS_OF, unpaired(loss), checkpoint=path)))
    assert all(torch.equal(one, two) for one, two in zip(results[0][0], results[1][0], strict=True))
    assert results[1][1][0].step == 3
    records = results[0][1]
    assert records[0].margin == pytest.approx(0.0, abs=1e-12)
    assert records[-1].margin is not None
    assert records[-1].margin > 0


def test_bcos_shift_is_the_middle_of_what_earlier_steps_saw_also_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    _, records = run_of("bco", checkpoint=path)
    good, number_good, bad, number_bad = load_file(path)["also/seen"].tolist()
    assert (number_good, number_bad) == (20.0, 20.0)  # ten pairs, twice
    assert records[0].middle == 0.0
    assert [record.middle != 0.0 for record in records[1:]] == [True] * 3
    again = run_of("bco")[1]
    assert [record.middle for record in again] == [record.middle for record in records]
    margins = sum(share * record.margin for share, record in zip((6, 4, 6, 4), records, strict=True) if record.margin)
    assert good / 20 - bad / 20 == pytest.approx(margins / 20)


def test_ktos_baseline_is_of_mismatched_rows_and_never_negative() -> None:
    _, records = run_of("kto")
    assert records[0].middle == pytest.approx(0.0, abs=1e-12)
    assert all(record.middle is not None and record.middle >= 0 for record in records)


def test_kto_on_answers_to_one_prompt_is_refused_before_anything_runs() -> None:
    same_prompt = [(TokenSequence((1, 2, token), 2), token % 2 == 0) for token in range(5, 12)]
    with pytest.raises(InputError, match="use bco"):
        next(train_unpaired(trunk(), same_prompt, unpaired("kto")))
    assert len(steps_of(train_unpaired(trunk(), same_prompt, unpaired("bco")))) == 3


def test_a_batch_of_one_kind_says_what_it_does_not_know() -> None:
    only_bad = [(row, False) for row, _ in ANSWERS_OF]
    for record in steps_of(train_unpaired(trunk(), only_bad, unpaired("kto"))):
        assert (record.chosen_logprob, record.margin) == (None, None)
        assert record.rejected_logprob is not None


def test_a_checkpoint_of_the_same_answers_with_other_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    list(train_unpaired(trunk(), ANSWERS_OF, unpaired("bco"), checkpoint=path))
    flipped = [(row, not good) for row, good in ANSWERS_OF]
    with pytest.raises(InputError, match="a run with other inputs"):
        next(train_unpaired(trunk(), flipped, unpaired("bco"), checkpoint=path))
