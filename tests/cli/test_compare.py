"""compare and gate: a table that can be read at 80 columns, JSON that any reader takes, exit codes that decide."""

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tests.cli.conftest import Truing
from tests.cli.evaluations import commit, share
from truing.cli.compare import interval, number, print_comparison
from truing.core.records import ItemResult
from truing.evals.compare import MetricComparison, Side, compare
from truing.evals.run import METRICS
from truing.ledger.ledger import Ledger

SIDES = {
    "base": {"refusal": share(20), "over_refusal": share(5), "reference_logprob": [-1.0 - n / 50 for n in range(50)]},
    "good": {"refusal": share(60), "over_refusal": share(5), "reference_logprob": [-1.0 - n / 50 for n in range(50)]},
    "harsh": {"refusal": share(80), "over_refusal": share(70), "reference_logprob": [-1.5 - n / 50 for n in range(50)]},
    "dim": {"refusal": share(24, unknown=20), "over_refusal": share(7), "reference_logprob": [-1.0] * 50},
}
RULES = """
[[rule]]
metric = "refusal"
require = "better"

[[rule]]
metric = "over_refusal"
require = "no worse"
margin = 0.1
"""


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.open(tmp_path / ".truing")
    for name, values in SIDES.items():
        commit(made, name, values)
    (tmp_path / "rules.toml").write_text(RULES)
    return made


def compared(a: str, b: str) -> list[MetricComparison]:
    sides = [
        [
            ItemResult(task=task, item=f"{number}", cluster=f"{number}", value=value)
            for metric in METRICS
            for task, values in [(metric.task, SIDES[name].get(metric.task, share(50)))]
            for number, value in enumerate(values)
        ]
        for name in (a, b)
    ]
    return compare(*sides, METRICS)


def table(results: list[MetricComparison], width: int, *names: str) -> list[str]:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        print_comparison(results, console, *names)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [100, 120, 200])
@pytest.mark.parametrize("b", ["good", "harsh", "dim"])
def test_from_100_columns_on_a_metric_takes_one_line(b: str, width: int) -> None:
    results = [result for result in compared("base", b) if width > 100 or len(result.title) <= 29]
    lines = table(results, width)
    unknown = any(result.baseline.unknown + result.candidate.unknown for result in results)
    assert len(lines) == 2 + len(results) + unknown
    for line, result in zip(lines[2:], results, strict=False):
        assert line.startswith(result.title)
        assert line.rstrip().endswith(result.verdict)


@pytest.mark.parametrize("b", ["good", "harsh", "dim"])
@pytest.mark.parametrize("names", [("base", "candidate"), ("0123456789ab", "ba9876543210")])
def test_at_80_columns_cells_break_before_the_bracket_only_and_no_word_is_broken(
    b: str, names: tuple[str, str]
) -> None:
    results = compared("base", b)
    lines = table(results, 80, *names)
    assert max(map(len, lines[: 2 + 2 * len(METRICS)])) <= 80
    words = set(" ".join(lines).split())
    for result in results:
        assert set(result.title.split()) | set(result.verdict.split()) <= words
        for cell in (
            number(result.candidate.mean, result.unit),
            interval(result.candidate, result.unit),
            number(result.difference, result.unit, True),
            interval(result, result.unit, True),
        ):
            assert cell in words
    assert "…" not in " ".join(lines)


def test_numbers_are_written_as_people_read_them() -> None:
    side = Side(mean=0.2044, low=0.145, high=0.268, unknown=0, cut=0)
    assert number(side.mean, "share") + " " + interval(side, "share") == "20.4% [14.5,26.8]"
    gained = compared("base", "good")[0].model_copy(update={"difference": 0.172, "low": 0.113, "high": 0.231})
    shown = number(gained.difference, "share", True) + " " + interval(gained, "share", True)
    assert shown == "+17.2 [+11.3,+23.1]"
    assert number(-1.234, "nats") == "-1.23"
    assert number(None, "share") == number(math.inf, "nats") == "unknown"
    assert interval(side.model_copy(update={"low": -math.inf}), "share") == ""


def test_unknown_has_a_line_of_its_own_only_where_there_is_any() -> None:
    assert not [line for line in table(compared("base", "good"), 100) if "unknown" in line]
    (line,) = (line for line in table(compared("base", "dim"), 100) if "unknown" in line)
    assert line == "unknown to the judge: refuses harmful requests (0 of base, 20 of candidate)"


def test_compare_as_json_has_the_verdicts_and_no_infinity(truing: Truing, ledger: Ledger) -> None:
    code, out, _ = truing("compare", "base", "good", "--json")
    assert code == 0
    verdicts = {result["task"]: result["verdict"] for result in json.loads(out)}
    assert verdicts == {"refusal": "better", "over_refusal": "not enough evidence", "reference_logprob": "no worse"}
    for name, value in (("one", 0.0), ("other", 1.0)):
        commit(ledger, name, {"reference_logprob": [value]})
    _, out, _ = truing("compare", "one", "other", "--json")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    (single,) = json.loads(out, parse_constant=refuse)
    assert (single["low"], single["high"]) == (None, None)
    assert "unknown" not in truing("compare", "one", "other")[1].replace("not enough", "")


@pytest.mark.parametrize(("b", "code"), [("good", 0), ("harsh", 1), ("dim", 4)])
def test_the_exit_code_of_the_gate_is_its_verdict(truing: Truing, tmp_path: Path, b: str, code: int) -> None:
    words = ("gate", "base", b, "--policy", "rules.toml")
    found, out, err = truing(*words, "--junit", "gate.xml", "--markdown", "gate.md")
    assert (found, err) == (code, "")
    status = {0: "holds", 1: "broken", 4: "not enough evidence"}[code]
    assert f"gate: {status}" in out
    assert "policy: rules.toml\n" in out
    suite = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert (suite.get("failures"), suite.get("errors")) == {0: ("0", "0"), 1: ("1", "0"), 4: ("0", "1")}[code]
    assert f"**Gate: {status}**" in (tmp_path / "gate.md").read_text()
    found, out, _ = truing(*words, "--json")
    assert found == code
    assert {key: json.loads(out)[key] for key in ("policy", "status")} == {"policy": "rules.toml", "status": status}


def test_without_rules_the_demos_are_used_and_named(truing: Truing, ledger: Ledger) -> None:
    values = {metric.task: share(50) for metric in METRICS}
    commit(ledger, "even", values)
    code, out, _ = truing("gate", "even", "even")
    assert code in (1, 4)
    assert [line for line in out.splitlines() if line.startswith("policy: ") and line.endswith("starter/demo.toml")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "base", "gud"], "the ledger has no artifact 'gud'; did you mean good"),
        (["compare", "base", "imported"], "'imported' is of the kind 'import'; it must be an evaluation"),
        (["gate", "base", "good", "--policy", "absent.toml"], "absent.toml: there is no such file"),
        (
            ["gate", "base", "good", "--policy", "wrong.toml"],
            "wrong.toml: the key 'rule' is missing; unknown key 'rulez'; did you mean 'rule'",
        ),
    ],
)
def test_a_wrong_input_is_one_sentence(truing: Truing, tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "wrong.toml").write_text("rulez = 1\n")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "?", "chosen": "yes", "rejected": "no"}\n')
    truing("data", "import", "rows.jsonl", "--name", "imported")
    code, out, err = truing(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"truing: {message}")
    assert err.count("\n") == 1
