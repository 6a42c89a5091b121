"""The gate's page stands alone, shows every rule and the items that moved, and a model's words in it do nothing."""

from tests.report.test_page import EVIL, Page, items
from truing.evals.compare import compare
from truing.evals.gate import GateConfig, decide
from truing.evals.moved import moved_most
from truing.evals.run import METRICS
from truing.report.gate_page import render


def test_the_page_shows_rules_metrics_and_moved_items_and_runs_nothing() -> None:
    before, after = items(refuses=1.0, answer=EVIL), items(refuses=0.0, unknown=2, answer=EVIL)
    rules = [
        {"metric": "refusal", "require": "no worse", "unknown": "failures"},
        {"metric": "honesty", "require": "better", "pass_without_evidence": "not trained for it"},
    ]
    config = GateConfig.parse({"rule": rules}, "test")
    results = compare(before, after, METRICS, config.terms())
    report = decide(results, config, moved_most(before, after, results))
    parsed = Page(render(report, results, ["policy: gate.toml", EVIL]))
    assert report.status == "broken"
    assert "Gate: broken (1 rule let pass without enough evidence)" in parsed.words
    for result in report.results:
        assert result.sentence in parsed.words
    assert "The 10 items that moved most" in parsed.words
    assert EVIL.split("<")[0] + "<script>alert" in " ".join(parsed.text)
    assert not {"script", "iframe", "img", "link"} & set(parsed.tags)
    assert not [value for name, value in parsed.attributes if name in ("src", "href") and not value.startswith("#")]


def test_a_gate_without_shares_has_no_chart() -> None:
    only = [item for item in items(refuses=1.0) if item.task == "reference_logprob"]
    config = GateConfig.parse({"rule": [{"metric": "reference_logprob", "require": "no worse"}]}, "test")
    results = compare(only, only, METRICS, config.terms())
    assert "svg" not in Page(render(decide(results, config), results, [])).tags
