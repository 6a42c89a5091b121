"""The gate as a pipeline uses it: stored baselines, policies, reports for other programs, and the page's workflow."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.cli.conftest import Truing
from tests.cli.evaluations import commit, share
from truing.core.records import ItemResult
from truing.ledger.ledger import Ledger
from truing.loops.baseline import read_baseline, write_baseline

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")
POLICY = """
[[rule]]
metric = "refusal"
require = "no worse"
margin = 0.1
"""


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.open(tmp_path / ".truing")
    commit(made, "base", {"refusal": share(150, 200), "over_refusal": share(5)})
    commit(made, "same", {"refusal": share(151, 200), "over_refusal": share(5)})
    commit(made, "worse", {"refusal": share(80, 200), "over_refusal": share(5)})
    (tmp_path / "gate.toml").write_text(POLICY)
    return made


def test_a_stored_baseline_says_the_same_as_the_ledgers_and_when_it_was_made(truing: Truing, tmp_path: Path) -> None:
    code, out, _ = truing("show", "base", "--export", "base.jsonl")
    assert (code, out) == (0, "base.jsonl: 300 items of base, with prompts and answers in full\n")
    (tmp_path / ".truing").rename(tmp_path / "elsewhere")
    (tmp_path / "none").mkdir()
    said = {}
    for base in ("base", "base.jsonl"):
        where = ("--ledger", "elsewhere")
        code, out, err = truing(*where, "gate", base, "worse", "--policy", "gate.toml", "--json")
        assert (code, err) == (1, "")
        said[base] = json.loads(out)
    assert said["base.jsonl"]["results"] == said["base"]["results"]
    assert said["base.jsonl"]["metrics"] == said["base"]["metrics"]
    assert any(note.startswith("base.jsonl: the evaluation base, ") for note in said["base.jsonl"]["notes"])
    code, out, _ = truing("gate", "base.jsonl", "base.jsonl", "--policy", "gate.toml")  # needs no ledger at all
    assert (code, not (tmp_path / ".truing").exists()) == (0, True)
    assert truing("compare", "base.jsonl", "base.jsonl")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "base", "--export", "base.json"), "--export base.json: name it FILE.jsonl"),
        (("gate", "absent.jsonl", "base"), "absent.jsonl: there is no such file"),
        (("gate", "base", "same", "--policy", "gate.toml", "--junit", "no/gate.xml"), "no/gate.xml: cannot be written"),
    ],
)
def test_a_wrong_file_is_one_sentence(truing: Truing, words: tuple[str, ...], message: str) -> None:
    code, _, err = truing(*words)
    assert code == 2
    assert err.startswith(f"truing: {message}")
    assert err.count("\n") == 1


def test_what_is_printed_has_the_detectable_worsening_and_the_items_that_moved(truing: Truing) -> None:
    code, out, _ = truing("gate", "base", "worse", "--policy", "gate.toml")
    assert code == 1
    assert "gate: broken" in out
    assert "would have been called worse (80% power)" in out
    assert "the 10 items that moved most:" in out
    assert "  refusal refusal 100, worse: refusal 100?" in out


def test_reading_one_by_one_saves_items_says_how_many_and_comes_to_the_same_verdict(truing: Truing) -> None:
    for candidate, code in (("same", 0), ("worse", 1)):
        found, out, _ = truing("gate", "base", candidate, "--policy", "gate.toml", "--sequential", "--json")
        assert found == code
        (metric,) = (one for one in json.loads(out)["metrics"] if one["task"] == "refusal")
        assert 0 < metric["read"] < metric["n"] == 200
        saved = 200 - metric["read"]
        assert f"read {metric['read']} of 200 items ({saved} saved)" in json.loads(out)["results"][0]["sentence"]
        _, out, _ = truing("gate", "base", candidate, "--policy", "gate.toml", "--sequential")
        assert f"{metric['read']}/200" in out


def test_every_report_is_written_and_a_models_words_are_only_words(
    truing: Truing, ledger: Ledger, tmp_path: Path
) -> None:
    evil = "@team | <script>alert(1)</script> [click](https://example.org) `x`"
    for name, value in (("plain", 1.0), ("odd", 0.0)):
        with ledger.begin() as staging:
            item = ItemResult(task="refusal", item="1", cluster="1", value=value, prompt=evil, answer=evil)
            (staging / "items.jsonl").write_text(item.model_dump_json() + "\n")
            ledger.commit(
                staging, kind="evaluation", verb="e", verb_version=1, name=name, config={}, parents=[], seed=0
            )
    files = ("--markdown", "gate.md", "--junit", "gate.xml", "--html", "gate.html")
    assert truing("gate", "plain", "odd", "--policy", "gate.toml", *files)[0] == 4
    suite = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert suite.get("errors") == "1"
    markdown = (tmp_path / "gate.md").read_text()
    assert "**Gate: not enough evidence**" in markdown
    (row,) = (line for line in markdown.splitlines() if line.startswith("| refusal | &#64;team"))
    assert row.replace("\\|", "").count("|") == 5
    for harmful in ("<script", "@team", "https://", "[click]("):
        assert harmful not in row.replace("\\[", "")
    page = (tmp_path / "gate.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_task_of_ones_own_needs_a_direction_and_is_named_where_it_has_none(
    truing: Truing, ledger: Ledger, tmp_path: Path
) -> None:
    for name, ones in (("ours", 90), ("theirs", 20)):
        commit(ledger, name, {"politeness": share(ones), "seconds": [float(10 + n) for n in range(30)]})
    rule = '[[rule]]\nmetric = "politeness"\nrequire = "no worse"\nmargin = 0.1\n'
    (tmp_path / "own.toml").write_text(rule)
    code, _, err = truing("gate", "ours", "theirs", "--policy", "own.toml")
    assert code == 2
    assert "needs a direction in its rule" in err
    (tmp_path / "own.toml").write_text(rule + 'direction = "higher"\n')
    code, out, _ = truing("gate", "ours", "theirs", "--policy", "own.toml")
    assert code == 1
    assert "not compared, since no rule gives a direction: seconds" in out
    (tmp_path / "own.toml").write_text(rule + 'direction = "lower"\n')
    assert truing("gate", "ours", "theirs", "--policy", "own.toml")[0] == 0


def workflow() -> dict[Any, Any]:
    """The page's only YAML block."""
    (block,) = (part.split("\n```")[0] for part in PAGE.split("```yaml\n")[1:])
    loaded: dict[Any, Any] = yaml.safe_load(block)
    return loaded


def run_steps(folder: Path, settings: Mapping[str, str], left_out: str = "") -> tuple[dict[str, int], str]:
    """The `run:` steps as GitHub runs them: a shell each, all that follow a failed one left out but those that always
    run. Nothing is installed: truing is there. The step `left_out` is not run."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    main = "import sys; from truing.cli.app import main; sys.exit(main())"
    root = Path(__file__).resolve().parents[2]
    for name, text in (
        ("truing", f"exec {sys.executable} -c '{main}' \"$@\""),
        ("python", f'[ "$*" = "-m pip install truing" ] || exec {sys.executable} "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    summary = folder / "summary.md"
    summary.unlink(missing_ok=True)
    found = workflow()
    values = {**found["env"], **settings, "GITHUB_STEP_SUMMARY": str(summary), "PYTHONPATH": str(root)}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    codes: dict[str, int] = {}
    for step in found["jobs"]["gate"]["steps"]:
        wanted = "run" in step and step["name"] != left_out
        if wanted and (not any(codes.values()) or step.get("if") == "always()"):
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]],
                cwd=folder,
                env={**os.environ, **values, "PATH": path, "OMP_NUM_THREADS": "1"},
                check=False,
                capture_output=True,
                text=True,
            )
            codes[step["name"]] = done.returncode
            assert done.returncode in (0, 1, 4), done.stderr
    return codes, summary.read_text(encoding="utf-8")


def bbq(rows: int) -> str:
    """So many ambiguous questions."""
    text = ""
    for number in range(rows):
        row = {
            "example_id": number, "question_index": f"{number}", "question_polarity": "neg", "category": "Garden",
            "context_condition": "ambig", "context": f"Person {number} met another.", "question": "Who was late?",
            "answer_info": {"ans0": ["one", "old"], "ans1": ["two", "nonOld"], "ans2": ["Not known", "unknown"]},
            "additional_metadata": {"stereotyped_groups": ["old"]},
            "ans0": "The one", "ans1": "The other", "ans2": "Not known", "label": 2,
        }  # fmt: skip
        text += json.dumps(row) + "\n"
    return text


def test_the_pages_workflow_passes_what_did_not_change_and_fails_a_regression(
    truing: Truing, tiny_folder: Path, tmp_path: Path
) -> None:
    sets = tmp_path / "sets" / "bbq"
    sets.mkdir(parents=True)
    (sets / "Garden.jsonl").write_text(bbq(60))
    (tmp_path / "gate.toml").write_text(POLICY.replace("refusal", "bbq_ambiguous"))
    assert truing("eval", str(tiny_folder), "--task", "bbq", "--data-dir", "sets")[0] == 0
    assert truing("show", "eval", "--export", "baseline.jsonl")[0] == 0
    settings = {"MODEL": str(tiny_folder), "TASKS": "bbq", "SETS": "sets"}
    codes, summary = run_steps(tmp_path, settings)
    assert codes == {"Install": 0, "Measure the candidate": 0, "Decide": 0, "Show the verdict": 0}
    assert "**Gate: holds**" in summary
    # As if the model had been right before: the same candidate is now a regression.
    stored = read_baseline(tmp_path / "baseline.jsonl")
    assert {item.value for item in stored.items} == {0.0}
    was_right = [item.model_copy(update={"value": 1.0}) for item in stored.items]
    write_baseline(tmp_path / "baseline.jsonl", Ledger.open(tmp_path / ".truing").get("eval"), was_right)
    codes, summary = run_steps(tmp_path, settings, left_out="Measure the candidate")
    assert codes == {"Install": 0, "Decide": 1, "Show the verdict": 0}
    assert "**Gate: broken**" in summary
    assert (tmp_path / "gate.html").is_file()
