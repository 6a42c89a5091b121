"""vary and ablate on a tiny model: a table that says of what it speaks, one JSON object, one sentence for an error."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Truing

RECIPE = """
model = "{model}"

[data]
verb = "dataset"
source = "rows.jsonl"
probes = "held_out"
held_out = 8
split = "content"
seed = 0

[dpo]
verb = "preference"
data = "data"
batch_rows = 4
beta = 0.1
adapter = {{ rank = 2, upper_layers = 1 }}

[measured]
verb = "evaluate"
data = "data"
adapter = "dpo"
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, tiny_folder: Path) -> None:
    groups = ("harmful", "benign_twin")
    rows = [
        {"id": f"r{n}", "group": groups[n % 2], "pair": f"p{n // 2}", "prompt": f"Q{n}?", "chosen": f"Yes {n}.",
         "rejected": f"No {n}!"}
        for n in range(24)
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.toml").write_text(RECIPE.format(model=tiny_folder))
    after = RECIPE.format(model=tiny_folder).replace("beta = 0.1", "beta = 2.0").replace("rank = 2", "rank = 4")
    (tmp_path / "after.toml").write_text(after)


def test_one_setting_at_a_time_end_to_end(truing: Truing, tmp_path: Path) -> None:
    words = ("vary", "recipe.toml", "dpo.beta=0.1,2.0", "data.benign_twins=0")
    code, out, err = truing(*words, "--dry-run")
    assert (code, err) == (0, "")
    assert "3 runs: 8 steps to run, 1 to reuse" in out
    assert "dpo.beta=2.0, seed 0: runs dpo measured, reuses data" in out
    assert not (tmp_path / ".truing").exists()

    code, out, err = truing(*words)
    assert (code, err) == (0, "")
    assert "run 2 of 3: dpo.beta=2.0, seed 0: 2 of 3 steps to run" in out
    assert "dpo.beta=2.0  (dpo.beta: 0.1 → 2.0)" in out
    assert "data.benign_twins=0  (data.benign_twins: 1.0 → 0.0)" in out
    assert "difference from recipe" in out
    assert "these figures speak of these runs only, and not of the choice" in out
    assert "better and worse are corrected for all 2 verdicts of the table (Holm)" in out

    code, out, err = truing(*words, "--json")
    found = json.loads(out)
    assert (code, err, found["measured"], found["claim"], found["tests"]) == (0, "", "measured", "runs", 2)
    assert all(not run["ran"] and run["reused"] == ["data", "dpo", "measured"] for run in found["runs"])
    tokens = [run["tokens"] for run in found["runs"]]
    assert tokens[0] == tokens[1] > tokens[2] > 0  # fewer rows were learned from
    assert found["runs"][1]["changes"] == [{"setting": "dpo.beta", "before": 0.1, "after": 2.0}]
    (effect,) = (one for one in found["effects"] if one["method"] == "dpo.beta=2.0")
    means = [run["metrics"]["preference_accuracy"] for run in found["runs"]]
    assert effect["difference"] == pytest.approx(means[1] - means[0])

    seeded = truing("vary", "recipe.toml", "dpo.beta=2.0", "--seeds", "0,1,2")[1]
    assert "3 seeds (0, 1, 2); 95% intervals, seeds and items drawn by chance" in seeded
    assert "these runs only" not in seeded
    assert "6 runs: 8 steps to run, 10 to reuse" in seeded  # the data have a seed of their own


def test_a_difference_is_divided_end_to_end(truing: Truing) -> None:
    words = ("ablate", "recipe.toml", "after.toml")
    code, out, err = truing(*words, "--dry-run")
    assert (code, err) == (0, "")
    assert "recipe.toml → after.toml, measured by measured: 2 settings (dpo.beta: 0.1 → 2.0; dpo.adapter.rank: 2" in out
    assert "4 runs: 9 steps to run, 3 to reuse" in out
    code, out, err = truing(*words)
    assert (code, err) == (0, "")
    assert "whole difference" in out
    assert "parts sum to the whole" in out
    assert "these runs only" in out
    found = json.loads(truing(*words, "--json")[1])
    whole, *settings = found["parts"]
    means = [run["metrics"]["preference_accuracy"] for run in found["runs"]]
    assert [one["setting"] for one in settings] == ["dpo.beta", "dpo.adapter.rank"]
    assert whole["value"] == pytest.approx(means[3] - means[0])
    assert sum(one["value"] for one in settings) == pytest.approx(whole["value"])
    assert settings[0]["first"] == pytest.approx(means[1] - means[0])
    assert all(not run["ran"] for run in found["runs"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vary", "absent.toml", "dpo.beta=1"], "absent.toml: there is no such file"),
        (["vary", "recipe.toml", "dpo.betta=1"], "dpo.betta=1: recipe.toml: [dpo]: unknown key 'betta'; did you mean"),
        (["vary", "recipe.toml", "dpo.beta=1", "--seeds", "0,x"], "--seeds 0,x: write whole numbers, each once"),
        (["vary", "recipe.toml", "dpo.beta=1", "--seeds", "1,1"], "--seeds 1,1: write whole numbers, each once"),
        (["vary", "recipe.toml", "dpo.beta=1", "--measure", "dpo"], "--measure dpo: recipe.toml has no such eval"),
        (["ablate", "recipe.toml", "recipe.toml"], "recipe.toml and recipe.toml differ in nothing that"),
        (["ablate", "recipe.toml", "absent.toml"], "absent.toml: there is no such file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_and_nothing_is_made(
    truing: Truing, tmp_path: Path, words: list[str], message: str
) -> None:
    code, out, err = truing(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"truing: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / ".truing").exists()
