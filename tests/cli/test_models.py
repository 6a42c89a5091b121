"""train, eval, chat and demo on a tiny model: what a user sees from the first row to the page."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Truing
from truing.ledger.ledger import Ledger

SMALL = ("--set", "sft.adapter.rank=2", "--set", "sft.epochs=1")
DEMO = """
model = {model}

[comparisons]
verb = "dataset"
source = "rows.jsonl"
probes = "probes.jsonl"

[base]
verb = "evaluate"
data = "comparisons"
max_new_tokens = 2

[sft]
verb = "sft"
data = "comparisons"
epochs = 1
adapter = {{rank = 2}}

[dpo]
verb = "preference"
data = "comparisons"
start_from = "sft"
adapter = {{rank = 2}}

[candidate]
verb = "evaluate"
data = "comparisons"
adapter = "dpo"
max_new_tokens = 2

[gate]
verb = "gate"
baseline = "base"
candidate = "candidate"

[[gate.rule]]
metric = "refusal"
require = "better"

[report]
verb = "report"
gate = "gate"
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "prompt": f"Q{n}?", "chosen": f"Yes {n}.", "rejected": f"No {n}!"} for n in range(8)]
    rows[3]["tie"] = True  # type: ignore[assignment]
    probes = [
        {"id": f"{group}{n}", "group": group, "topic": f"{n}", "prompt": f"[/p] Say {group} {n}.", "chosen": "So."}
        for n in range(3)
        for group in ("harmful", "benign_twin", "unanswerable")
    ]
    for name, lines in (("rows", rows), ("probes", probes)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def trained(truing: Truing, tiny_folder: Path) -> str:
    """An adapter `sft` in the ledger; returns the model's folder."""
    code, _, err = truing("train", "sft", "rows.jsonl", "--model", str(tiny_folder), *SMALL)
    assert (code, err) == (0, "")
    return str(tiny_folder)


def test_train_takes_an_import_and_says_what_to_do_next(truing: Truing, tiny_folder: Path, tmp_path: Path) -> None:
    truing("data", "import", "rows.jsonl", "--name", "mine")
    words = ("train", "preference", "ledger:mine", "--from-base", "--model", str(tiny_folder))
    code, out, err = truing(*words, "--set", "preference.adapter.rank=2")
    assert (code, err) == (0, "")
    assert "1 row left out" in out
    assert out.splitlines()[-1] == "try it: truing chat preference"
    ledger = Ledger.open(tmp_path / ".truing")
    assert out.splitlines()[-2].endswith(str(ledger.folder(ledger.get("preference")).relative_to(tmp_path)))
    assert "mine import" in truing("trace", "preference")[1]
    code, out, _ = truing(*words, "--set", "preference.adapter.rank=2", "--json")
    assert (code, [step["reused"] for step in json.loads(out)["steps"].values()]) == (0, [True, True])


def test_train_takes_judged_answers_that_nobody_compared(truing: Truing, tiny_folder: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}?", "completion": f"A{n}.", "label": n % 2 == 0} for n in range(4)]
    (tmp_path / "thumbs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("train", "unpaired", "thumbs.jsonl", "--model", str(tiny_folder), "--set", "unpaired.adapter.rank=2")
    code, out, err = truing(*words, "--set", "unpaired.loss=bco")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "try it: truing chat unpaired"
    code, _, err = truing("train", "unpaired", "rows.jsonl", "--model", str(tiny_folder))
    assert code == 2
    assert "rows.jsonl: 8 bad rows, the first in line 1: the key 'completion' is missing" in err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("ledger:nothing", "train: [comparisons] imported = 'ledger:nothing': .truing: there is no ledger here"),
        ("absent.jsonl", 'train: [comparisons] source = "absent.jsonl": there is no such file'),
    ],
)
def test_train_on_what_is_not_there_is_one_sentence(truing: Truing, data: str, message: str) -> None:
    code, out, err = truing("train", "sft", data)
    assert (code, out) == (2, "")
    assert err.startswith(f"truing: {message}")


def test_eval_measures_an_adapter_of_the_ledger_and_refuses_what_is_none(
    truing: Truing, trained: str, tmp_path: Path
) -> None:
    words = ("--model", trained, "--probes", "probes.jsonl", "--set", "probes.source=rows.jsonl")
    code, out, err = truing("eval", "sft", *words, "--set", "eval.max_new_tokens=2")
    assert code == 0, err
    assert "refuses harmful requests" in out
    ledger = Ledger.open(tmp_path / ".truing")
    assert {parent.role: parent.artifact for parent in ledger.get("eval").parents}["adapter"] == ledger.get("sft").id
    code, out, err = truing("eval", "comparisons", *words)
    assert (code, out) == (2, "")
    assert "[eval] adapter = 'ledger:comparisons' is of the kind 'dataset', expected the kind 'adapter'" in err


def test_chat_shows_both_answers_and_says_where_they_were_cut(truing: Truing, trained: str) -> None:
    words = ("chat", "sft", "--model", trained, "--max-new-tokens", "3")
    code, out, err = truing(*words, "--prompt", "Hello")
    assert (code, err) == (0, "")
    assert "base" in out
    assert out.count("(cut at 3 tokens)") == 2
    code, out, _ = truing(*words, "-p", "Hello", "--json")
    found = json.loads(out)
    assert (code, found["prompt"], list(found["answers"])) == (0, "Hello", ["base", "sft"])
    assert [answer["finished"] for answer in found["answers"].values()] == [False, False]


class Terminal(io.StringIO):
    """Standard input as a person types it."""

    def isatty(self) -> bool:
        return True


def test_chat_answers_what_is_piped_in_as_one_prompt(
    truing: Truing, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("chat", "--model", str(tiny_folder), "--max-new-tokens", "2", "--json")
    monkeypatch.setattr(sys, "stdin", io.StringIO("two\nlines\n"))
    code, out, err = truing(*words)
    assert (code, err) == (0, "")
    assert json.loads(out)["prompt"] == "two\nlines"
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert truing(*words)[::2] == (2, "truing: the prompt is empty; give it with --prompt, or pipe it in\n")


def test_a_dialogue_goes_on_until_an_empty_line_and_new_forgets_it(
    truing: Truing, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from truing.providers.local import LocalSystem

    asked: list[list[str]] = []
    sample = LocalSystem.sample

    def listening(self: LocalSystem, prompts: Any, decoding: Any) -> Any:
        asked.append([turn.content for turn in prompts[0] if turn.role == "user"])
        return sample(self, prompts, decoding)

    monkeypatch.setattr(LocalSystem, "sample", listening)
    words = ("chat", "--model", str(tiny_folder), "--max-new-tokens", "2")
    for end in ("\nnever", ""):  # an empty line, or the end of input
        asked.clear()
        monkeypatch.setattr(sys, "stdin", Terminal(f"one\ntwo\n/new\nthree\n{end}"))
        assert truing(*words)[0] == 0
        assert asked == [["one"], ["one", "two"], ["three"]]
    assert truing(*words, "--json")[::2] == (
        2,
        "truing: --json needs one prompt; give it with --prompt, or pipe it in\n",
    )


def test_demo_goes_from_rows_to_a_page_and_the_second_time_reuses_it_all(
    truing: Truing, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo.toml").write_text(DEMO.format(model=json.dumps(str(tiny_folder))))
    monkeypatch.setattr("truing.starter.DEMO", tmp_path / "demo.toml")
    monkeypatch.setattr("truing.engine.chat.Chat.text", lambda *_: "[/odd] answer")  # no markup, but what was said
    steps = ["comparisons", "base", "sft", "dpo", "candidate", "gate", "report"]
    code, out, err = truing("demo")
    assert code == 0, err
    assert "[/odd] answer" in out
    assert "[/p] Say harmful 0." in out
    lines = out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("begins")] == steps
    (place,) = (number for number, line in enumerate(lines) if line.startswith("report: "))
    path = Path(lines[place].removeprefix("report: "))
    assert "</html>" in path.read_text(encoding="utf-8")
    assert lines[place + 1] == "next:"
    assert all(line.startswith("  truing ") for line in lines[place + 2 : place + 5])
    assert lines[-1].startswith("took ")
    assert lines[-1].endswith(" MB of memory at most")
    assert len(lines) == place + 6
    code, out, err = truing("demo", "--json")
    again = json.loads(out)
    assert (code, err, list(again["steps"])) == (0, "", steps)
    assert all(step["reused"] for step in again["steps"].values())
    assert again["seconds"] >= 0
    assert again["peak_memory_mb"] > 10
    # One assumption changes, and what does not depend on it is taken as it is; the way back is free.
    _, out, _ = truing("demo", "--json", "--set", "dpo.beta=0.5")
    assert [name for name, step in json.loads(out)["steps"].items() if step["reused"]] == ["comparisons", "base", "sft"]
    first = Ledger.open(tmp_path / ".truing").get("dpo")
    truing("demo", "--json")
    assert Ledger.open(tmp_path / ".truing").get("dpo").id == again["steps"]["dpo"]["artifact"] != first.id
