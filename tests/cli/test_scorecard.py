"""`truing scorecard` as it is typed: the table, the page, JSON, joined evaluations, and what is refused."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Truing
from tests.cli.evaluations import commit, share
from truing.core.records import ItemResult
from truing.ledger.artifacts import Artifact, Parent
from truing.ledger.ledger import Ledger


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.open(tmp_path / ".truing")
    commit(made, "base", {"refusal": share(20), "over_refusal": share(5), "honesty": share(30, unknown=10)})
    commit(made, "good", {"refusal": share(60), "over_refusal": share(5), "honesty": share(30)})
    commit(made, "more", {"bbq_ambiguous": share(40), "perplexity": [-3.0]})
    return made


def measured(ledger: Ledger, name: str, model: str, adapter: str = "") -> Artifact:
    parents = []
    if adapter:
        with ledger.begin() as staging:
            (staging / "weights").write_text(adapter)
            made = ledger.commit(
                staging, kind="adapter", verb="sft", verb_version=1, name=adapter, config={}, parents=[], seed=0
            )
        parents = [Parent(role="adapter", artifact=made.id)]
    with ledger.begin() as staging:
        item = ItemResult(task="refusal", item=name, cluster="", value=1.0)
        (staging / "items.jsonl").write_text(item.model_dump_json() + "\n")
        return ledger.commit(
            staging,
            kind="evaluation",
            verb="evaluate",
            verb_version=1,
            name=name,
            config={"model": model},
            parents=parents,
            seed=0,
        )


def test_a_heading_for_each_of_the_three_and_a_line_for_each_system(truing: Truing) -> None:
    code, out, err = truing("scorecard", "base", "good")
    assert (code, err) == (0, "")
    lines = [line.rstrip() for line in out.splitlines()]
    assert [line for line in lines if line and not line.startswith(" ")][:3] == ["helpful", "harmless", "honest"]
    assert "  refuses harmful requests ↑" in lines
    assert "  refuses their benign twins ↓" in lines
    shown = r"    good  n 100 +60\.0% \[[\d.,]+\]  \+40\.0 \[\+[\d.]+,\+[\d.]+\]  better"
    assert any(re.fullmatch(shown, line) for line in lines)
    assert any(line.startswith("    base  n 100  10 unknown  ") for line in lines)
    assert "differences are to base, item by item" in out


def test_the_page_is_written_where_it_is_asked_for(truing: Truing, tmp_path: Path) -> None:
    code, out, _ = truing("scorecard", "base", "good", "more", "--out", "card.html", "--samples", "0")
    assert code == 0
    assert out.splitlines()[-1] == "page: card.html"
    text = (tmp_path / "card.html").read_text()
    assert text.startswith("<!doctype html>")
    assert "BBQ ambiguous: right" in text
    assert "<details>" not in text


def test_json_holds_the_card_and_no_infinity(truing: Truing) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    code, out, _ = truing("scorecard", "base", "good", "more", "--json")
    card = json.loads(out, parse_constant=refuse)
    assert code == 0
    assert [system["label"] for system in card["systems"]] == ["base", "good", "more"]
    by_task = {line["task"]: line for line in card["lines"]}
    assert by_task["refusal"]["aspect"] == "harmless"
    assert by_task["refusal"]["cells"][1]["difference"]["value"] == pytest.approx(0.4)
    assert by_task["refusal"]["cells"][2] is None
    assert by_task["perplexity"]["cells"][2]["side"]["low"] is None


def test_evaluations_of_one_system_are_joined_by_a_plus(truing: Truing) -> None:
    card = json.loads(truing("scorecard", "base+more", "good", "--json")[1])
    assert [len(system["evaluations"]) for system in card["systems"]] == [2, 1]
    cells = {line["task"]: [cell is not None for cell in line["cells"]] for line in card["lines"]}
    assert cells["refusal"] == [True, True]
    assert cells["bbq_ambiguous"] == [True, False]


def test_a_system_is_called_by_its_adapter_or_its_model_and_told_apart(truing: Truing, ledger: Ledger) -> None:
    measured(ledger, "a", "folder/tiny")
    measured(ledger, "b", "folder/tiny", adapter="dpo")
    again = measured(ledger, "c", "folder/tiny", adapter="kto")
    for name in ("a", "b", "c"):
        card = json.loads(truing("scorecard", name, "--json")[1])
        assert card["systems"][0]["label"] == {"a": "tiny", "b": "dpo", "c": "kto"}[name]
    card = json.loads(truing("scorecard", "c", again.id, "--json")[1])
    assert {system["label"] for system in card["systems"]} == {"kto c", f"kto {again.short}"}
    code, _, err = truing("scorecard", "a+b")
    assert code == 2
    assert "joins evaluations of two systems; give each a column of its own" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gud"], "the ledger has no artifact 'gud'; did you mean good"),
        (["base", "--out", "no/card.html"], "--out no/card.html: there is no folder no; make it first"),
        (["base+base"], "stands twice in one evaluation"),
        (["base", "small"], "refusal: 99 items were measured on one side only"),
    ],
)
def test_what_is_wrong_is_one_sentence(truing: Truing, ledger: Ledger, words: list[str], told: str) -> None:
    commit(ledger, "small", {"refusal": share(1, 1)})
    code, out, err = truing("scorecard", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
