"""Predicted memory decides: as asked, smaller micro-batches, lower states on the disk, or a refusal before any pass."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.test_training import DPO, PAIRS, ROWS, SFT, steps_of, train, trunk, weights
from truing.core.errors import InputError
from truing.core.records import Progress
from truing.engine.tree import TokenSequence, build_forest
from truing.train import fit as fitting
from truing.train.fit import Load, load_of
from truing.train.preference import PreferenceConfig
from truing.train.records import TrainStart, TrainStep
from truing.train.sft import SFTConfig, train_sft

BOTH = pytest.mark.parametrize("config", [SFT, DPO], ids=["sft", "dpo"])
Run = SFTConfig | PreferenceConfig


def load(config: Run) -> Load:
    """What one of the tests' runs would load."""
    rows, group = (ROWS, 1) if isinstance(config, SFTConfig) else ([side for pair in PAIRS for side in pair], 2)
    order = [list(range(start, min(start + 4, 10))) for start in (0, 4, 8)]
    return load_of(trunk(), build_forest(rows), order, group, 1, {})


def with_memory(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    monkeypatch.setattr(fitting, "available_bytes", lambda: available)


@BOTH
def test_the_prediction_grows_with_micro_batches_layers_and_trained_numbers(config: Run) -> None:
    of = load(config)
    peaks = [of.peak(tokens) for tokens in (1, 8, 12, 16, 4096)]
    assert all(one <= two for one, two in pairwise(peaks))
    assert peaks[0] < peaks[-1]
    for more in ({"layers": of.layers + 1}, {"trained": of.trained + 1000}, {"weights": of.weights + 1000}):
        assert Load(**{**vars(of), **more}).peak(8) > of.peak(8)
    assert of.peak(8, lower_on_disk=True) < of.peak(8)


@BOTH
def test_a_run_that_fits_is_as_asked_and_says_what_it_needs(config: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, 1 << 40)
    start = next(train(trunk(), config))  # type: ignore[call-overload]
    assert isinstance(start, TrainStart)
    assert (start.microbatch_tokens, start.asked_tokens, start.lower_on_disk) == (2048, 2048, False)
    assert 0 < start.needed_bytes < start.available_bytes == 1 << 40


@BOTH
def test_too_little_memory_makes_micro_batches_smaller_and_the_result_the_same(
    config: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, small = trunk(), trunk()
    start = next(items := train(whole, config))  # type: ignore[call-overload]
    list(items)
    with_memory(monkeypatch, start.needed_bytes - 1)
    less = next(items := train(small, config))  # type: ignore[call-overload]
    assert isinstance(less, TrainStart)
    assert less.asked_tokens == 2048
    assert less.microbatch_tokens < 24  # 2048, 1024 … 32 hold all rows of a step at once, and would save nothing
    assert less.needed_bytes <= less.available_bytes
    list(items)
    for one, two in zip(weights(whole), weights(small), strict=True):
        assert torch.allclose(one, two, rtol=0, atol=1e-5)


@BOTH
def test_what_cannot_fit_is_refused_before_any_pass_in_one_sentence(
    config: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_memory(monkeypatch, 1000)
    seen: list[Any] = []
    with pytest.raises(InputError) as error:
        seen.extend(train(trunk(), config))
    assert seen == []
    sentence = str(error.value)
    assert sentence.startswith("training needs ")
    assert "0.0 MB is available" in sentence
    assert "lower adapter.upper_layers (2 layers are trained)" in sentence
    assert error.value.exit_code == 2


@BOTH
def test_lower_states_go_to_the_disk_where_memory_asks_for_it_and_change_no_bit(
    config: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, whole, spilled = config.model_copy(update={"microbatch_tokens": 1}), trunk(), trunk()
    items = train(whole, config)
    least = next(items)  # type: ignore[call-overload]
    list(items)
    with_memory(monkeypatch, least.needed_bytes - 1)
    with pytest.raises(InputError):  # without a checkpoint there is no place for a file
        next(train(trunk(), config))  # type: ignore[call-overload]
    path = tmp_path / "run.safetensors"
    items = train(spilled, config, checkpoint=path)
    assert next(items).lower_on_disk  # type: ignore[call-overload]
    list(items)
    assert all(torch.equal(one, two) for one, two in zip(weights(whole), weights(spilled), strict=True))
    assert len(list(tmp_path.glob("lower-*.bin"))) == 1
    # A resumed run reads the file instead of computing it again.
    path.unlink()
    again = train(trunk(), config, checkpoint=path)
    assert not [item for item in again if isinstance(item, Progress) and item.stage == "lower layers"]


def test_a_disk_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_by_one = SFT.model_copy(update={"microbatch_tokens": 1})
    least = next(train(trunk(), one_by_one))  # type: ignore[call-overload]
    with_memory(monkeypatch, least.needed_bytes - 1)

    class Usage:
        free = 100

    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage)
    with pytest.raises(InputError, match=r"on the disk, and 0\.0 GB is free; make room"):
        list(train(trunk(), one_by_one, checkpoint=tmp_path / "run.safetensors"))


def test_a_resumed_run_takes_the_micro_batches_of_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun where memory was short and resumed where it is not, it still ends in the same bits."""
    path, full = tmp_path / "run.safetensors", next(train(trunk(), SFT))  # type: ignore[call-overload]
    with monkeypatch.context() as patch:
        with_memory(patch, full.needed_bytes - 1)
        whole = trunk()
        list(train(whole, SFT))
        items = train(trunk(), SFT, checkpoint=path)
        small = next(items)  # type: ignore[call-overload]
        next(item for item in items if isinstance(item, TrainStep) and item.step == 3)
    resumed = trunk()
    items = train(resumed, SFT, checkpoint=path)
    start = next(items)  # type: ignore[call-overload]
    assert start.done == 2
    assert start.microbatch_tokens == small.microbatch_tokens < start.asked_tokens
    assert steps_of(items)
    assert all(torch.equal(one, two) for one, two in zip(weights(whole), weights(resumed), strict=True))


def test_one_long_row_decides_how_small_micro_batches_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    long = TokenSequence((1, *range(2, 60)), 3)
    with_memory(monkeypatch, 1000)
    with pytest.raises(InputError, match=r"one row or pair at a time \(59 tokens in the largest\)"):
        list(train_sft(trunk(), [*ROWS, long], SFT))
