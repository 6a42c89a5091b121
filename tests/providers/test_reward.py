"""A reward model from its folder: the same bits in another process, tokens as drawn, ensembles, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import REPOSITORY, tiny_model
from tests.providers.conftest import ask
from tests.providers.test_local import Letters
from truing.core.errors import InputError, RunError
from truing.core.protocols import MemoryStore, Reward
from truing.core.records import Answer, Decoding
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter, remove_adapter, save_adapter
from truing.engine.scalar import new_head, save_head
from truing.engine.trunk import Trunk
from truing.providers.local import LocalSystem
from truing.providers.reward import RewardModel, RewardSettings, written

ROWS = [(ask("ab"), written("cd")), (ask("ab"), written("ce_f")), (ask("b"), written("cd"))]
OTHER_PROCESS = """
import sys
from pathlib import Path
from tests.providers.test_reward import ROWS, trunk
from truing.providers.reward import RewardModel
print(*(value.hex() for value in RewardModel(trunk(), Path(sys.argv[1])).score(ROWS)))
"""


def trunk(sha256: str = "0" * 64, **changes: Any) -> Trunk:
    return Trunk.of(tiny_model(**changes), tokenizer=Letters(), name="tiny", sha256=sha256)


def make(folder: Path, members: int = 1, on: Trunk | None = None, **settings: Any) -> Path:
    """A reward model's folder with random adapters and heads."""
    on = on or trunk()
    told = RewardSettings(members=members, **settings)
    folder.mkdir()
    for member in range(members):
        add_adapter(on, "made", AdapterConfig(rank=2, alpha=8, upper_layers=2), member)
        with torch.no_grad():
            for parameter in adapter_parameters(on, "made").values():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(member)))
        save_adapter(on, "made", told.folder(folder, member))
        save_head(new_head(on, member, 1.0), told.folder(folder, member))
        remove_adapter(on, "made")
    told.write(folder)
    return folder


def drawn(text: str, finished: bool = True) -> Answer:
    ids = tuple(ord(letter) - ord("@") for letter in text)
    return Answer(text="whatever", token_ids=ids, logprobs=(), finished=finished, least_gap=1.0)


def test_it_is_a_reward_and_scores_the_same_bits_in_a_new_process(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", members=2)
    reward: Reward = RewardModel(trunk(), folder)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OTHER_PROCESS, str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [value.hex() for value in reward.score(ROWS)], done.stderr
    assert len(set(done.stdout.split())) == 3


def test_an_answer_with_tokens_is_scored_by_them_and_one_without_by_its_text(tmp_path: Path) -> None:
    model = RewardModel(trunk(), make(tmp_path / "model"))
    by_text = model.score([(ask("ab"), written("cd"))])
    assert model.score([(ask("ab"), drawn("cd"))]) == by_text
    assert model.score([(ask("ab"), drawn("cd", finished=False))]) == by_text  # as if it ended there
    assert model.score([(ask("ab"), drawn("dc"))]) != by_text
    assert model.score([]) == []


def test_a_drawn_answer_scores_as_it_was_drawn(tmp_path: Path) -> None:
    on = trunk()
    model = RewardModel(on, make(tmp_path / "model"))
    prompts = [ask("ab"), ask("b")]
    answers = dict(LocalSystem(on).sample(prompts, Decoding(max_new_tokens=6, temperature=1.0)))
    scores = model.score([(prompts[number], answers[number]) for number in (0, 1)])
    one = [model.score([(prompts[number], answers[number])])[0] for number in (0, 1)]
    assert scores == pytest.approx(one, abs=1e-12)


def test_an_ensemble_combines_its_members_scores(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", members=3)
    members = np.array([RewardModel(trunk(), copy_of(folder, tmp_path / f"only-{n}", n)).score(ROWS) for n in range(3)])
    assert RewardModel(trunk(), folder).score(ROWS) == pytest.approx(members.mean(0), abs=1e-12)
    for how, weight, expected in (
        ("min", 0.0, members.min(0)),
        ("mean_minus_variance", 0.5, members.mean(0) - 0.5 * members.var(0)),
    ):
        RewardSettings(members=3, combine=how, variance_weight=weight).write(folder)
        assert RewardModel(trunk(), folder).score(ROWS) == pytest.approx(expected, abs=1e-12)


def copy_of(folder: Path, target: Path, member: int) -> Path:
    import shutil

    shutil.copytree(folder / f"member-{member}", target)
    RewardSettings().write(target)
    return target


def test_it_leaves_the_trunk_and_other_adapters_as_they_were(tmp_path: Path) -> None:
    on = trunk()
    bare, folder = [*LocalSystem(on).score([(ask("ab"), "cd")])], make(tmp_path / "model", members=2)
    add_adapter(on, "policy", AdapterConfig(rank=2), 0)
    mine = adapter_parameters(on, "policy")
    with torch.no_grad():
        for parameter in mine.values():
            parameter.add_(0.2)
    before = [*LocalSystem(on, "policy").score([(ask("ab"), "cd")])]
    model = RewardModel(on, folder, store=MemoryStore())
    first = model.score(ROWS)
    assert [*LocalSystem(on, "policy").score([(ask("ab"), "cd")])] == before
    assert [*LocalSystem(on).score([(ask("ab"), "cd")])] == bare
    assert model.score(ROWS) == first  # lower states from the store
    model.close()
    assert [*LocalSystem(on, "policy").score([(ask("ab"), "cd")])] == before
    assert set(on.peft.peft_config) == {"policy"}


def test_its_version_changes_with_whatever_changes_scores(tmp_path: Path) -> None:
    folder = make(tmp_path / "model")
    versions = [RewardModel(trunk(), folder).version, RewardModel(trunk(), folder).version]
    tensors = load_file(folder / "head.safetensors")
    save_file({**tensors, "bias": tensors["bias"] + 1}, folder / "head.safetensors")
    versions.append(RewardModel(trunk(), folder).version)
    versions.append(RewardModel(trunk(), folder, system_prompt="be").version)
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


def test_what_does_not_fit_is_one_sentence_and_leaves_no_adapter_behind(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", members=2)
    other = trunk("1" * 64)
    with pytest.raises(InputError, match=r"this adapter was trained on tiny .*load it on its own base"):
        RewardModel(other, folder)
    assert other.peft is None
    (folder / "member-1" / "head.safetensors").unlink()
    on = trunk()
    with pytest.raises(InputError, match=r"member-1: head\.safetensors is missing"):
        RewardModel(on, folder)
    assert on.peft is None
    save_file({"weight": torch.zeros(8), "bias": torch.zeros(())}, folder / "member-1" / "head.safetensors")
    with pytest.raises(InputError, match="the head does not fit"):
        RewardModel(on, folder)
    (folder / "reward.json").write_text(json.dumps({"members": "many"}))
    with pytest.raises(InputError, match=r"reward\.json: it cannot be read"):
        RewardModel(on, folder)
    (folder / "reward.json").unlink()
    with pytest.raises(InputError, match=r"reward\.json is missing, so this is no reward model"):
        RewardModel(on, folder)


def test_a_score_that_is_no_number_is_an_error_and_never_a_score(tmp_path: Path) -> None:
    folder = make(tmp_path / "model")
    tensors = load_file(folder / "head.safetensors")
    save_file({**tensors, "weight": tensors["weight"] * torch.nan}, folder / "head.safetensors")
    with pytest.raises(RunError, match=r"the reward of answer 1 is nan, which is no finite number"):
        RewardModel(trunk(), folder).score(ROWS)


def test_an_answer_beyond_the_context_is_refused(tmp_path: Path) -> None:
    model = RewardModel(trunk(), make(tmp_path / "model"))
    for answer in (drawn("c" * 300), written("c" * 300)):
        with pytest.raises(InputError, match=r"more than the .*context of 256"):
            model.score([(ask("ab"), answer)])
