"""A trained judge on a tiny trunk: it reads what was read in training, whatever else is judged with it."""

from pathlib import Path

import numpy as np
import pytest

from tests.loops.tiny import save_tiny_chat_model
from truing.core.digest import digest
from truing.core.errors import InputError
from truing.core.protocols import MemoryStore
from truing.core.records import Message
from truing.engine.trunk import Trunk
from truing.judges.refusal import RefusalJudge
from truing.judges.states import StateReader
from truing.judges.trained import HeldOut, TrainedJudge, TrainedSettings, read_held_out, save_judge
from truing.judges.validate import JudgeAccuracy

PROMPT = (Message(role="user", content="How is tea made?"),)
ROWS = [(PROMPT, "Boil the water and let it draw."), (PROMPT, "I can't help with that."), (PROMPT, "Ask your cat.")]


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Trunk:
    return Trunk.load(str(save_tiny_chat_model(tmp_path_factory.mktemp("trunk") / "tiny")))


def save(folder: Path, of: Trunk, **changes: object) -> Path:
    width = of.head.shape[1] * 2
    random = np.random.default_rng(0)
    weights = {"mean": random.normal(size=width), "scale": np.ones(width), "weight": random.normal(size=width + 1)}
    settings = TrainedSettings(
        question="refusal",
        set="xstest",
        trunk=of.name,
        trunk_sha256=of.sha256,
        template=digest(of.tokenizer.chat_template),
        layers=(1, 2),
        answer_tokens=8,
        request_tokens=6,
        strings=RefusalJudge.version,
        penalty=1.0,
        rows=3,
        sources=("m",),
        accuracy=JudgeAccuracy(data="made up", hits=1, misses=0, rejections=1, false_alarms=0),
    ).model_copy(update=changes)
    folder.mkdir()
    save_judge(folder, settings, {**weights, "bias": np.array([0.25])}, [HeldOut(id="r", row="ab", verdict=None)])
    return folder


def test_states_are_the_means_over_the_beginning_of_the_answer(trunk: Trunk) -> None:
    """Against the model's own hidden states, row by row."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(trunk.name)
    reader = StateReader(trunk, (1, 2), 8, 6)
    found = dict(reader.read(ROWS))
    for number, (prompt, answer) in enumerate(ROWS):
        sequence = reader.sequence(prompt, answer)
        assert len(sequence.ids) - sequence.scored_from == 8
        plain = model(torch.tensor([sequence.ids]), output_hidden_states=True)
        states = plain.hidden_states[1][0, sequence.scored_from :].mean(0)
        assert found[number][0] == pytest.approx(states.detach().numpy(), abs=1e-5)


def test_only_the_end_of_a_long_request_and_the_beginning_of_an_answer_are_read(trunk: Trunk) -> None:
    reader = StateReader(trunk, (1,), 8, 6)
    one = reader.sequence((Message(role="user", content="aaaaaaaaaa made?"),), "Boil the water.")
    other = reader.sequence((Message(role="user", content="bb made?"),), "Boil the milk.")
    assert one == other


def test_states_are_kept_and_read_back(trunk: Trunk) -> None:
    store = MemoryStore()
    computed = dict(StateReader(trunk, (1, 2), 8, 6, store).read(ROWS))
    kept = list(StateReader(trunk, (1, 2), 8, 6, store).read(ROWS[::-1]))
    assert [number for number, _ in kept] == [0, 1, 2], "kept ones come in order, without a pass"
    assert all((states == computed[2 - number]).all() for number, states in kept)
    assert len(store._contents) == 3


def test_a_verdict_does_not_depend_on_what_is_judged_with_it(trunk: Trunk, tmp_path: Path) -> None:
    judge = TrainedJudge(save(tmp_path / "j", trunk), trunk)
    together = dict(judge.judge_all(ROWS))
    assert [judge.judge(*row) for row in ROWS] == [together[number] for number in range(3)]
    assert {outcome.value for outcome in together.values()} <= {0.0, 1.0}


def test_what_it_was_not_validated_on_is_unknown_and_needs_no_trunk(trunk: Trunk, tmp_path: Path) -> None:
    judge = TrainedJudge(save(tmp_path / "j", trunk, trunk="no such model"))
    assert judge.judge(PROMPT, "对不起，我无法帮助您。").value is None
    assert judge.judge(PROMPT, "").value is None


def test_its_name_holds_the_trunks_hash_and_another_trunk_is_refused(trunk: Trunk, tmp_path: Path) -> None:
    judge = TrainedJudge(save(tmp_path / "j", trunk), trunk)
    assert trunk.sha256[:12] in judge.version
    assert TrainedJudge(save(tmp_path / "k", trunk, penalty=2.0), trunk).version != judge.version
    other = Trunk.load(str(save_tiny_chat_model(tmp_path / "other", seed=1)))
    with pytest.raises(InputError, match="use the trunk that it was trained on"):
        TrainedJudge(tmp_path / "j", other).judge(*ROWS[0])


def test_it_refuses_strings_that_have_changed_and_folders_that_are_none(trunk: Trunk, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was trained beside refusal-strings-0"):
        TrainedJudge(save(tmp_path / "j", trunk, strings="refusal-strings-0"))
    with pytest.raises(InputError, match="it is no judge"):
        TrainedJudge(tmp_path)
    (tmp_path / "j" / "judge.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read"):
        TrainedJudge(tmp_path / "j")


def test_held_out_verdicts_read_back(trunk: Trunk, tmp_path: Path) -> None:
    assert read_held_out(save(tmp_path / "j", trunk)) == {"ab": None}
