"""Tasks exported from Label Studio as JSON: `data`, and `annotations` with the results of their control tags.

    Pairwise    {"type": "pairwise", "value": {"selected": "left"}}            the better one of two texts
    Ranker      {"type": "ranker", "value": {"ranker": ["b", "a"]}}            ids of the items, best first
    Rating      {"type": "rating", "to_name": "text1", "value": {"rating": 4}}   one for each text

The export does not hold the labelling configuration, so it does not say which value of `data` was shown where. Read
are the names of Label Studio's own templates, `prompt`, `text1` (left), `text2` (right) and `items`, unless `columns`
name others: prompt=question,left=answer_a,right=answer_b. A Rating's `to_name` must be the name of the text in `data`.
Skipped annotations and predictions are not read. A Ranker with buckets says no order and is refused.
"""

from typing import Any

from truing.core.records import Comparison
from truing.data.native import prompt_of
from truing.data.rows import AS_IT_IS, Ask, RowError
from truing.data.scores import pairs
from truing.data.validate import row_id

NAME = "labelstudio"
NESTED = True  # `columns` name what is inside a task's data
_NAMES = {"prompt": "prompt", "left": "text1", "right": "text2", "items": "items"}
_SIDES = ("left", "right")


def recognises(row: dict[str, Any]) -> bool:
    """True for rows with data and annotations."""
    return isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list)


def parse(row: dict[str, Any], fallback_id: str, ask: Ask = AS_IT_IS) -> list[Comparison]:
    """One task → a comparison (or several, with all pairs) for each annotation. Raises `RowError`."""
    data, annotations = row.get("data"), row.get("annotations")
    if not isinstance(data, dict) or not isinstance(annotations, list):
        raise RowError("expected a Label Studio task, with the keys 'data' and 'annotations'")
    names = {**_NAMES, **ask.columns}
    done = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]
    if not done:
        raise RowError("nobody has annotated it")
    prompt = prompt_of(_value(data, names["prompt"], "prompt"))
    whole_id, result = row_id(row, fallback_id), []
    for number, annotation in enumerate(done, start=1):
        answers, scores, side = _scored(annotation.get("result") or [], data, names)
        by = annotation.get("completed_by")
        who = by.get("email") or by.get("id") if isinstance(by, dict) else by
        shared = {
            "annotator": None if who is None else str(who),
            "chosen_side": side,
            "time": annotation.get("created_at"),
            "origin": "Label Studio",
        }
        result += pairs(whole_id if len(done) == 1 else f"{whole_id}-{number}", prompt, answers, scores, ask, shared)
    return result


def _scored(results: Any, data: dict[str, Any], names: dict[str, str]) -> tuple[list[Any], list[Any], str | None]:
    """(answers, their scores, the side of the better one where that is known) from one annotation's results."""
    results = [one for one in results if isinstance(one, dict)] if isinstance(results, list) else []
    found = sorted({str(one.get("type")) for one in results})
    kinds = [kind for kind in found if kind in ("pairwise", "ranker", "rating")]
    if len(kinds) != 1:
        raise RowError(
            "an annotation must hold results of one type, pairwise, ranker or rating; found "
            + (", ".join(found) or "none")
        )
    (kind,) = kinds
    judging = [one for one in results if one.get("type") == kind]
    values = [one["value"] if isinstance(one.get("value"), dict) else {} for one in judging]
    if kind == "rating":
        rated = [str(one.get("to_name")) for one in judging]
        return [_value(data, name, name) for name in rated], [value.get("rating") for value in values], None
    if len(judging) != 1:
        raise RowError(f"an annotation holds {len(judging)} results of the type {kind!r}, expected one")
    if kind == "ranker":
        return (*_ranked(values[0].get("ranker"), _value(data, names["items"], "items")), None)
    side = values[0].get("selected")
    if side not in _SIDES:
        raise RowError(f"'selected' must be left or right, found {side!r}")
    return [_value(data, names[one], one) for one in _SIDES], [float(one == side) for one in _SIDES], side


def _ranked(order: Any, items: Any) -> tuple[list[Any], list[float]]:
    if isinstance(order, dict) and len(order) == 1:
        (order,) = order.values()
    if not isinstance(order, list):
        raise RowError("the ranker's items are sorted into buckets, which says no order")
    items = items if isinstance(items, list) else []
    texts = {str(item.get("id")): item.get("body") for item in items if isinstance(item, dict)}
    unknown = [one for one in order if str(one) not in texts]
    if unknown or len(order) < 2:
        raise RowError(f"the ranker must order two items or more of the data; not among them: {unknown!r:.100}")
    return [texts[str(one)] for one in order], [-float(place) for place in range(len(order))]


def _value(data: dict[str, Any], name: str, what: str) -> Any:
    if name not in data:
        known = ", ".join(data)
        raise RowError(
            f"the task's data have no {name!r}; name it with --columns {what}=NAME (there are: {known:.200})"
        )
    return data[name]
