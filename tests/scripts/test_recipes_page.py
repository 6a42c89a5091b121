"""docs/recipes.md: its tables of verbs and settings say what the code says, no more and no less."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from truing.loops.verbs.table import VERBS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


def rows(section: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    under = re.split(rf"^##+ {section}\n", PAGE, flags=re.MULTILINE)[1]
    table = re.search(r"(?:^\|.*\n)+", under, flags=re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[0].splitlines()[2:]]


def settings(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, default) of every setting; a list of tables is named by its key, and then its tables' settings."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        inner = [kind for kind in get_args(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if isinstance(default, BaseModel):
            yield from ((f"{above}{name}.{key}", value) for key, value in _flat(default))
            continue
        yield f"{above}{name}", ... if field.is_required() else default
        for kind in inner:
            yield from settings(kind, f"{above}{name}.")


def _flat(config: BaseModel) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(config, name)) for name in type(config).model_fields)


def shown(default: object) -> str:
    """A default as the page writes it."""
    if default is ...:
        return "required"
    return "none" if default is None else f'`"{default}"`' if isinstance(default, str) else f"`{default}`"


@pytest.mark.parametrize("verb", VERBS)
def test_every_setting_stands_on_the_page_with_its_default(verb: str) -> None:
    expected = {f"`{name}`": shown(default) for name, default in settings(VERBS[verb].config)}
    assert {name: default for name, default, *_ in rows(verb)} == expected


def test_every_verb_stands_on_the_page_with_its_roles_and_what_it_makes() -> None:
    expected = {}
    for name, verb in VERBS.items():
        roles = [*(f"`{role}`" for role in verb.roles), *(f"(`{role}`)" for role in verb.optional_roles)]
        expected[f"`{name}`"] = (", ".join(roles) or "none", f"`{verb.kind}`")
    assert {name: (roles, kind) for name, roles, kind, *_ in rows("Steps")} == expected


def test_every_metric_that_a_rule_may_name_stands_on_the_page() -> None:
    from truing.evals.run import METRICS
    from truing.evals.tasks.table import TASKS

    (row,) = (row for row in rows("gate") if row[0] == "`rule.metric`")
    of_tasks = {metric.task for task in TASKS.values() for metric in task.metrics}
    named = ", ".join(f"`{metric.task}`" for metric in METRICS if metric.task not in of_tasks)
    assert row[2] == f"{named}; or a metric of the [tasks](evaluation.md) that were measured"
