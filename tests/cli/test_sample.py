"""`truing sample` on a tiny model: the best of n, what may be expected of more, and a killed run that goes on."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Truing
from truing.core.best_of_n import expected_best, kl_bound

REWARD = "def count(rows):\n    return [answer.text.count('e') + len(answer.text) / 100 for _, answer in rows]\n"
RULES = '[[rule]]\nname = "short"\nkind = "length"\nunit = "characters"\nat_most = 3\n'


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(REWARD)
    (tmp_path / "rules.toml").write_text(RULES)
    rows = [{"prompt": f"Say {n}."} for n in (1, 2, 3, 1)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def words(tiny_folder: Path) -> tuple[str, ...]:
    return ("--model", str(tiny_folder), "--max-new-tokens", "6", "--best-of", "4")


def test_one_prompt_shows_its_best_answer_and_both_bounds(truing: Truing, words: tuple[str, ...]) -> None:
    code, out, err = truing("sample", "Say [/b] it.", "--reward", "rules.toml", *words)
    assert code == 0, err
    assert out.startswith("Say [/b] it.\n")
    assert "best of 4: at most 0.636 nats from the model (KL); wins at most 80.0% of duels with one answer" in out
    assert "unknown" in out
    assert "One prompt says nothing of how much prompts differ" in out
    assert not Path(".truing").exists()


def test_json_holds_every_answer_and_its_numbers_agree(truing: Truing, words: tuple[str, ...]) -> None:
    code, out, err = truing("sample", "prompts.jsonl", "--reward", "mine.py:count", *words, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [one["prompt"][0]["content"] for one in found["prompts"]] == ["Say 1.", "Say 2.", "Say 3."]
    rewards = [[c["reward"] for c in one["candidates"]] for one in found["prompts"]]
    for one, scores in zip(found["prompts"], rewards, strict=True):
        assert len(scores) == 4
        assert scores[one["best"]] == max(scores)
        assert scores == [c["answer"].count("e") + len(c["answer"]) / 100 for c in one["candidates"]]
        assert len({c["answer"] for c in one["candidates"]}) > 1  # random draws, not one answer four times
    assert [(point["n"], point["kl_bound"]) for point in found["expected_best"]] == [
        (n, kl_bound(n)) for n in (1, 2, 4)
    ]
    for point in found["expected_best"]:
        assert point["reward"] == pytest.approx(sum(expected_best(scores, point["n"]) for scores in rewards) / 3)
        assert point["low"] <= point["reward"] <= point["high"]


def test_a_killed_run_goes_on_from_its_file_to_the_same_answers(
    truing: Truing, words: tuple[str, ...], tmp_path: Path
) -> None:
    command = ("sample", "prompts.jsonl", "--reward", "mine.py:count", *words)
    whole = truing(*command, "--out", "whole.jsonl", "--json")[1]
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    (tmp_path / "cut.jsonl").write_bytes(lines[0] + lines[1][:40])
    code, out, _ = truing(*command, "--out", "cut.jsonl", "--json")
    assert code == 0
    assert (tmp_path / "cut.jsonl").read_bytes().startswith(lines[0])  # kept as it was
    again, before = json.loads(out), json.loads(whole)
    assert again["expected_best"] == before["expected_best"]
    for one, other in zip(again["prompts"], before["prompts"], strict=True):
        for candidate, earlier in zip(one["candidates"], other["candidates"], strict=True):
            # In another batch a log-probability may be rounded otherwise.
            assert candidate.pop("logprob") == pytest.approx(earlier.pop("logprob"), abs=1e-3)
        assert one == other
    assert len((tmp_path / "cut.jsonl").read_bytes().splitlines()) == 3
    _, out, err = truing(*command, "--out", "cut.jsonl")
    assert "3 prompts of 3 kept in cut.jsonl" in err
    assert "best of 4" in out


def test_a_sum_shows_its_parts(truing: Truing, words: tuple[str, ...]) -> None:
    reward = '{sum = [{name = "e", function = "mine.py:count"}, {name = "short", rule = "rules.toml", weight = 2}]}'
    _, out, _ = truing("sample", "Say it.", "--reward", reward, *words, "--json")
    for candidate in json.loads(out)["prompts"][0]["candidates"]:
        assert candidate["reward"] == pytest.approx(candidate["parts"]["e"] + 2 * candidate["parts"]["short"])
    _, out, _ = truing("sample", "Say it.", "--reward", reward, *words)
    assert ", short " in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["Why?", "--reward", "absent.toml"], "absent.toml: there is no such file"),
        (["Why?", "--reward", "mine.py:cuont"], "mine.py: there is no function 'cuont'; did you mean 'count'?"),
        (["Why?", "--reward", "kind"], "--reward kind: neither a rule file (.toml)"),
        (["absent.jsonl", "--reward", "rules.toml"], "absent.jsonl: cannot be read"),
        ([" ", "--reward", "rules.toml"], "the prompt is empty; give a prompt, or a file of prompts"),
        (["Why?", "--reward", "rules.toml", "--temperature", "0"], "at temperature 0 all 4 answers"),
        (["Why?", "--reward", "rules.toml", "--adapter", "mine"], ".truing: there is no ledger here"),
        (["Why?", "--reward", "rules.toml", "--out", "no/out.jsonl"], "no/out.jsonl: there is no folder no"),
        (["Why?", "--reward", "rules.toml", "--out", "mine.py"], "mine.py, line 1: not written by `truing sample`"),
        (["Why?", "--reward", "bad.py:nan"], "bad.py:nan returned nan for row 1 (answer "),
    ],
)
def test_bad_input_is_one_sentence(
    truing: Truing, words: tuple[str, ...], tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "bad.py").write_text("def nan(rows):\n    return [float('nan')] * len(rows)\n")
    code, out, err = truing("sample", *arguments, *words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"truing: {sentence}")
    assert (tmp_path / "mine.py").read_text() == REWARD


def test_other_settings_do_not_go_into_the_same_file(truing: Truing, words: tuple[str, ...]) -> None:
    command = ("sample", "Say it.", "--reward", "rules.toml", "--out", "out.jsonl", *words)
    assert truing(*command)[0] == 0
    code, _, err = truing(*command, "--seed", "1")
    assert code == 2
    assert "out.jsonl, line 1: made from another prompt, model, reward or setting" in err
