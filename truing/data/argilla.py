"""Records exported from Argilla 2 (`dataset.records.to_json`): `fields`, and `responses` by question and user.

A record does not say what kind its questions are; the values of its responses do:

    a label     "response_a"                        names the better one of two fields, or is "tie"
    a ranking   ["response_b", "response_a"]        names fields, best first (or {"value", "rank"}, equal ranks tie)
    ratings     4                                   in one question a field, whose name holds the field's name

`columns` may name the field of the `prompt` (else `prompt` or `instruction`) and the `question`. All other fields that
are texts are the answers. Each user's response is a comparison with that annotator. Suggestions are a model's, not a
person's, and are not read; whether a response was discarded is not in the file.
"""

from collections import defaultdict
from typing import Any

from truing.core.records import Comparison
from truing.data.native import prompt_of
from truing.data.rows import AS_IT_IS, Ask, RowError
from truing.data.scores import pairs
from truing.data.validate import row_id

NAME = "argilla"
NESTED = True  # `columns` name what is inside a record


def recognises(row: dict[str, Any]) -> bool:
    """True for rows with fields and responses."""
    return isinstance(row.get("fields"), dict) and isinstance(row.get("responses"), dict)


def parse(row: dict[str, Any], fallback_id: str, ask: Ask = AS_IT_IS) -> list[Comparison]:
    """One record → a comparison (or several, with all pairs) for each user. Raises `RowError`."""
    fields, responses = row.get("fields"), row.get("responses")
    if not isinstance(fields, dict) or not isinstance(responses, dict):
        raise RowError("expected an Argilla record, with the keys 'fields' and 'responses'")
    asked = ask.columns.get("prompt") or ("prompt" if "prompt" in fields else "instruction")
    if asked not in fields:
        raise RowError(f"there is no field {asked!r}; name the prompt's with --columns prompt=FIELD")
    answers = {name: value for name, value in fields.items() if name != asked and isinstance(value, str)}
    question = ask.columns.get("question")
    if question is not None and question not in responses:
        raise RowError(f"there is no response to the question {question!r}")
    by_user: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, given in responses.items():
        if question is None or name == question:
            for response in given if isinstance(given, list) else ():
                if not isinstance(response, dict):
                    raise RowError(f"the responses to {name!r} must be objects with 'value' and 'user_id'")
                by_user[str(response.get("user_id"))][name] = response.get("value")
    if not by_user:
        raise RowError("nobody has answered it")
    whole_id, result = row_id(row, fallback_id), []
    for user, values in by_user.items():
        names, scores = _scored(values, answers)
        own_id = whole_id if len(by_user) == 1 else f"{whole_id}-{user}"
        texts = [answers[name] for name in names]
        result += pairs(own_id, prompt_of(fields[asked]), texts, scores, ask, {"annotator": user, "origin": "Argilla"})
    return result


def _scored(values: dict[str, Any], answers: dict[str, str]) -> tuple[list[str], list[float]]:
    """(fields, their scores) from one user's responses: a label, a ranking, or a rating for each field."""
    found = [one for one in (_one_question(value, answers) for value in values.values()) if one is not None]
    if len(found) > 1:
        raise RowError(f"{len(found)} questions name a better answer; choose one with --columns question=NAME")
    if found:
        return found[0]
    ratings = {}
    for field in answers:
        rated = [value for name, value in values.items() if field in name and _number(value)]
        if len(rated) > 1:
            raise RowError(f"{len(rated)} ratings of the field {field!r}; export one question for each field")
        if rated:
            ratings[field] = rated[0]
    if len(ratings) < 2:
        raise RowError(
            f"no response ranks, rates or names the fields {', '.join(answers) or '(none)'}; found {values!r:.100}"
        )
    return list(ratings), list(ratings.values())


def _one_question(value: Any, answers: dict[str, str]) -> tuple[list[str], list[float]] | None:
    if isinstance(value, str) and len(answers) == 2 and value in (*answers, "tie"):
        return list(answers), [float(name == value) for name in answers]
    if not isinstance(value, list) or len(value) < 2:
        return None
    ranks = [one.get("rank", place) if isinstance(one, dict) else place for place, one in enumerate(value)]
    found = [one.get("value") if isinstance(one, dict) else one for one in value]
    names = [name for name in found if isinstance(name, str) and name in answers]
    if len(names) < len(found) or not all(map(_number, ranks)):
        return None
    return names, [-float(rank) for rank in ranks]


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
