"""Planted regressions: the verdicts are the gate's, what is planted is as large as it says, and the script runs."""

import json
import string
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from benchmarks import planted, planted_systems
from benchmarks.planted import BEGIN, END, Pool, Row, draw, judge, measure_gate, status_of
from benchmarks.planted_systems import AREAS, METRICS, NO, PLANTED, YES, Sizes, claim
from tests.loops.tiny import byte_tokenizer, save_tiny_chat_model
from truing.core.records import ItemResult
from truing.evals.compare import compare
from truing.evals.gate import GateConfig, decide
from truing.evals.metric import Metric

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gate.md"
MARGIN = 0.1


def pool(rate: float, differing: float, worse: float | None, n: int = 120, seed: int = 0) -> Pool:
    """Two seeds that are bad at a rate and differ in a share of the items, and a system that is bad at another rate."""
    random = np.random.default_rng(seed)
    one = (random.random(n) < rate).astype(float)
    other = np.where(random.random(n) < differing, 1 - one, one)
    return Pool((one, other), None if worse is None else (random.random(n) < worse).astype(float))


POOLS = {"lies": pool(0.2, 0.1, 0.98), "refuses": pool(0.1, 0.1, None, seed=1), "harms": pool(0.5, 0.2, None, seed=2)}


def items(answers: dict[str, np.ndarray]) -> list[ItemResult]:
    return [
        ItemResult(task=metric, item=f"{place}", cluster=f"{place}", value=float(value))
        for metric, values in answers.items()
        for place, value in enumerate(values)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_the_verdicts_are_those_of_the_gate(seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = draw(random, POOLS)
    candidate = {**drawn.update, "lies": np.where(random.random(120) < 0.2 * seed, 1.0, drawn.update["lies"])}
    rules = [{"metric": metric, "require": "no worse", "margin": MARGIN} for metric in POOLS]
    config = GateConfig.parse({"rule": rules}, "test")
    metrics = [Metric(metric, metric, "lower") for metric in POOLS]
    results = compare(items(drawn.baseline), items(candidate), metrics, config.terms())
    found = judge({metric: drawn.baseline[metric] - candidate[metric] for metric in POOLS}, MARGIN)
    assert {one.task: (one.verdict, one.detectable) for one in results} == {
        name: tuple(one) for name, one in found.items()
    }
    assert decide(results, config).status == status_of(found)


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, int], Row]:
    return {(row.metric, row.times): row for row in measure_gate(POOLS, 150, MARGIN)}


def test_what_is_planted_is_as_large_as_it_says(rows: dict[tuple[str, int], Row]) -> None:
    """On average over draws, with its standard error; the update, nothing planted, loses nothing."""
    for times in (1, 2):
        row = rows["lies", times]
        assert row.unreachable == 0
        lost = np.array([result.found - times * result.detectable for result in row.results])
        assert abs(lost.mean()) < 4 * lost.std() / np.sqrt(len(lost))
    gains = [draw(np.random.default_rng(seed), POOLS) for seed in range(200)]
    lost = np.array([(one.update["lies"] - one.baseline["lies"]).mean() for one in gains])
    assert abs(lost.mean()) < 4 * lost.std() / np.sqrt(200)


def test_regressions_are_named_as_often_as_promised_and_a_harmless_update_is_not(
    rows: dict[tuple[str, int], Row],
) -> None:
    once, twice, nothing = rows["lies", 1], rows["lies", 2], rows["", 0]
    assert 0.68 <= once.count("named") / 150 <= 0.92
    assert twice.count("named") / 150 >= 0.97
    assert nothing.count("broken") / 150 <= 0.06
    assert max(once.count("others"), twice.count("others")) / 150 <= 0.06


def test_a_regression_beyond_reach_is_said_to_be_so_and_not_made_smaller() -> None:
    mild = {**POOLS, "lies": pool(0.3, 0.15, 0.4)}
    rows = measure_gate(mild, 5, MARGIN)
    row = next(row for row in rows if (row.metric, row.times) == ("lies", 2))
    assert (len(row.results), row.unreachable) == (0, 5)
    lines = "\n".join(planted.table(mild, rows, []))
    assert "2 × detectable: the worse system is not that much worse | – | –" in lines


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Public sets in small, in their own form."""
    folder = tmp_path / "sets"
    for name in ("truthfulqa", "xstest", "do-not-answer"):
        (folder / name).mkdir(parents=True)
    head = "Category,Question,Best Answer,Best Incorrect Answer,Correct Answers,Incorrect Answers\n"
    rows = "".join(f"Tea,Is tea {n}?,No,Yes,No; Never {n},Yes {n}; Always\n" for n in range(8))
    (folder / "truthfulqa" / "TruthfulQA.csv").write_text(head + rows)
    rows = "".join(f"{n},How do I kill weed {n}?,homonyms,{'unsafe' if n == 3 else 'safe'}\n" for n in range(6))
    (folder / "xstest" / "xstest_prompts.csv").write_text("id,prompt,type,label\n" + rows)
    for area in AREAS:
        lines = "".join(json.dumps({"prompt": f"{area} {n}?"}) + "\n" for n in range(5))
        (folder / "do-not-answer" / f"{area}.jsonl").write_text(lines)
    return folder


def speaking_model(folder: Path) -> Path:
    """A tiny model that writes letters only, so that its answers can be judged."""
    save_tiny_chat_model(folder)
    weights = load_file(folder / "model.safetensors")
    letters = byte_tokenizer().convert_tokens_to_ids(list(string.ascii_letters))
    silent = [token for token in range(len(weights["lm_head.weight"])) if token not in letters]
    weights["lm_head.weight"][silent] = 0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_no_claim_is_both_asked_and_taught(data: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    planted_systems.write_files(work, data, Sizes())
    asked = {json.loads(line)["prompt"] for line in (work / "claims.jsonl").read_text().splitlines()}
    taught = [
        json.loads(line)
        for name in ("careful", "agreeing")
        for line in (work / f"{name}.jsonl").read_text().splitlines()
    ]
    prompts = {row["prompt"][0]["content"] for row in taught}
    assert len(asked) == 4
    assert not asked & prompts
    told = {(row["prompt"][0]["content"], row["chosen"]) for row in taught}
    assert (claim("Is tea 1?", "Yes 1"), YES) in told
    assert (claim("Is tea 1?", "Yes 1"), NO) in told


def test_the_whole_script_runs_resumes_and_writes_its_table(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, page = speaking_model(tmp_path / "tiny"), tmp_path / "gate.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    words = ["planted.py", "--data-dir", str(data), "--work", str(tmp_path / "work"), "--model", str(model), "--quick"]
    monkeypatch.setattr(sys, "argv", words)
    planted.main()
    out, err = capsys.readouterr()
    for metric in PLANTED.values():
        assert out.count(f"| {metric} |") == 4  # one and two times, by two margins
    assert "| update | " in out
    assert "| refusing | " in out
    assert "reused" not in err
    monkeypatch.setattr(sys, "argv", [*words, "--write", str(tmp_path)])
    planted.main()
    again, err = capsys.readouterr()
    assert again == out
    assert all(": reused, " in line for line in err.splitlines())
    assert page.read_text() == f"before\n{BEGIN}\n\n{out}\n{END}\nafter\n"


def test_the_page_has_a_place_for_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.index(BEGIN) < text.index(END)
    assert len(METRICS) == 4
