"""One self-contained HTML page for two systems: the inputs that differ, beside the outcomes that differ."""

from collections.abc import Sequence
from pathlib import Path

from truing.evals.outcomes import Outcomes
from truing.ledger.difference import Difference, RowText, kind_of
from truing.report.charts import before_after
from truing.report.page import shown


def render(
    a: str,
    b: str,
    found: Difference,
    texts: Sequence[RowText],
    outcomes: Outcomes | None,
    commands: Sequence[str],
    notes: Sequence[str],
) -> str:
    """The page as text: styles and chart inside, nothing fetched, no scripts. `texts` are rows that differ, already
    shortened; `commands` measure what was not measured of both."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"value": shown, "kind": kind_of}
    results = () if outcomes is None else outcomes.comparisons
    compared = {one.task for one in results}
    return environment.get_template("diff.html").render(
        a=a,
        b=b,
        found=found,
        texts=texts,
        outcomes=outcomes,
        others=[change for change in found.results if change.where not in compared],
        commands=commands,
        notes=notes,
        chart=before_after(results) if any(one.unit == "share" for one in results) else "",
    )
