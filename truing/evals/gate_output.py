"""The gate's verdict for other programs: a Markdown page for a pull request, and JUnit XML.

Answers are a model's words: in Markdown nothing in them is a link, a mention or markup.
"""

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from truing.evals.compare import MetricComparison
from truing.evals.gate import GateReport


def as_markdown(report: GateReport, comparisons: Sequence[MetricComparison] = ()) -> str:
    """The verdict, the rules, every metric that was compared, and the items that moved most."""
    lines = [f"**Gate: {report.headline}**", "", "| rule | status | why |", "|---|---|---|"]
    lines += [f"| {_plain(one.metric)} | {one.status} | {_plain(one.sentence)} |" for one in report.results]
    if comparisons:
        lines += [
            "",
            "| metric | items | base | candidate | difference, 95% | adjusted p | verdict |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_row(one) for one in comparisons]
    if report.moved:
        lines += ["", f"<details><summary>The {len(report.moved)} items that moved most</summary>", ""]
        lines += ["| metric | prompt | base | candidate |", "|---|---|---|---|"]
        for one in report.moved:
            sides = (
                f"{before:g}: {_plain(text)}" for before, text in ((one.before, one.base), (one.after, one.candidate))
            )
            lines.append(f"| {_plain(one.task)} | {_plain(one.prompt)} | {' | '.join(sides)} |")
        lines += ["", "</details>"]
    return "\n".join([*lines, ""])


def _row(one: MetricComparison) -> str:
    read = one.n if one.read is None else f"{one.read} of {one.n}"
    values = [_plain(one.title), f"{read}"]
    values += ["unknown" if mean is None else f"{mean:.3f}" for mean in (one.baseline.mean, one.candidate.mean)]
    values.append("unknown" if one.difference is None else f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]")
    return f"| {' | '.join([*values, f'{one.adjusted_p:.2g}', one.verdict])} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no mention of an account, no cell's end."""
    flat = escape(" ".join(text.split()))
    return re.sub(r"([\\`*_\[\]#|~!])", r"\\\1", flat).replace("@", "&#64;").replace("://", ":&#47;/")


def as_junit(report: GateReport) -> str:
    """JUnit XML: a broken rule is a failure, one without enough evidence an error, one that was let pass skipped."""
    tags = {"holds": "system-out", "broken": "failure", "not enough evidence": "error", "let pass": "skipped"}
    counts = {status: sum(result.status == status for result in report.results) for status in tags}
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<testsuite name="truing gate" tests="{len(report.results)}" failures="{counts["broken"]}" '
        f'errors="{counts["not enough evidence"]}" skipped="{counts["let pass"]}">',
    ]
    for result in report.results:
        tag = tags[result.status]
        said = "" if tag == "system-out" else f" message={quoteattr(result.sentence)}"
        inner = f"<{tag}{said}>{escape(result.sentence)}</{tag}>"
        lines.append(f'  <testcase classname="gate" name={quoteattr(result.metric)}>{inner}</testcase>')
    return "\n".join([*lines, "</testsuite>", ""])
