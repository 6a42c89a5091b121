"""A wrong setting is refused with a sentence that says where, which key, and what would be right."""

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError, model_validator

from truing.core.config import Config, apply_overrides, read_toml
from truing.core.errors import InputError


class Part(Config):
    rate: float = Field(0.1, gt=0)
    steps: int = 3


class Whole(Config):
    name: str
    part: Part = Part()
    maybe: Part | None = None
    many: tuple[Part, ...] = ()

    @model_validator(mode="after")
    def _is_not_odd(self) -> "Whole":
        if self.name == "odd":
            raise ValueError("a whole is not odd; give it another name")
        return self


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "a", "prat": {}}, "unknown key 'prat'; did you mean 'part'?"),
        ({"name": "a", "part": {"rat": 1}}, "unknown key 'part.rat'; did you mean 'rate'?"),
        ({"name": "a", "maybe": {"stepps": 1}}, "unknown key 'maybe.stepps'; did you mean 'steps'?"),
        ({"name": "a", "many": [{}, {"stap": 1}]}, "unknown key 'many.1.stap'; did you mean 'steps'?"),
        ({"name": "a", "zzz": 1}, "unknown key 'zzz'; known keys are many, maybe, name, part"),
        ({}, "the key 'name' is missing"),
        ({"name": 7}, "'name' is 7: Input should be a valid string"),
        ({"name": "a", "part": {"steps": "two"}}, "'part.steps' is 'two': Input should be a valid integer"),
        ({"name": "a", "part": {"rate": 0}}, "'part.rate' is 0: Input should be greater than 0"),
        ({"name": "a", "part": 3}, "'part' is 3: "),
        ({"name": "odd"}, "a whole is not odd; give it another name"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_the_remedy(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        Whole.parse(values, "recipe.toml: [step]")
    assert str(raised.value).startswith(f"recipe.toml: [step]: {sentence}")


def test_every_problem_is_named_once() -> None:
    with pytest.raises(InputError) as raised:
        Whole.parse({"nane": "a", "part": {"steps": "two"}, "many": [{"rate": -1}]}, "here")
    assert str(raised.value).count(";") == 4  # three problems beside the unknown key with its hint
    for part in ("'name' is missing", "'nane'; did you mean 'name'?", "'part.steps' is 'two'", "'many.0.rate' is -1"):
        assert str(raised.value).count(part) == 1


def test_a_valid_configuration_is_what_was_written_and_cannot_change() -> None:
    whole = Whole.parse({"name": "a", "part": {"rate": 2}, "many": [{"steps": 5}]}, "here")
    assert whole == Whole(name="a", part=Part(rate=2.0), many=(Part(steps=5),))
    with pytest.raises(ValidationError, match="frozen"):
        whole.name = "b"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("2.5", 2.5),
        ("1e-4", 1e-4),
        ("inf", math.inf),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ('"2"', "2"),
        ("{ a = 1 }", {"a": 1}),
        ("plain words", "plain words"),
        ("data/rows.jsonl", "data/rows.jsonl"),
        ("True", "True"),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_an_override_is_a_toml_value_or_else_plain_text(text: str, value: Any) -> None:
    assert apply_overrides({}, [f"key={text}"]) == {"key": value}


def test_overrides_reach_into_tables_in_order_and_leave_the_original_alone() -> None:
    values: dict[str, Any] = {"sft": {"epochs": 1, "adapter": {"rank": 4}}, "seed": 0}
    changed = apply_overrides(values, ["sft.adapter.rank=8", "sft.epochs=2", "sft.epochs = 3", "new.deep.key=x"])
    assert changed == {"sft": {"epochs": 3, "adapter": {"rank": 8}}, "seed": 0, "new": {"deep": {"key": "x"}}}
    assert values == {"sft": {"epochs": 1, "adapter": {"rank": 4}}, "seed": 0} == apply_overrides(values, [])


@pytest.mark.parametrize("override", ["sft.epochs", "=2", "", ".a=1", "a..b=1", "a.=1"])
def test_an_override_that_is_no_assignment_says_how_to_write_one(override: str) -> None:
    with pytest.raises(InputError, match="write it as KEY=VALUE, for example"):
        apply_overrides({}, [override])


def test_an_override_below_a_plain_value_is_refused() -> None:
    with pytest.raises(InputError, match=r"--set seed\.deep=1: 'seed' is a value, not a table"):
        apply_overrides({"seed": 0}, ["seed.deep=1"])


def test_a_toml_file_is_read_and_one_that_is_not_names_itself_and_the_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('name = "naïve"\n[a]\nb = 1\n', encoding="utf-8")
    assert read_toml(path) == {"name": "naïve", "a": {"b": 1}}
    path.write_text("name = 'a'\nb = \n", encoding="utf-8")
    with pytest.raises(InputError, match=r"recipe\.toml: not valid TOML: .*line 2"):
        read_toml(path)
    path.write_bytes(b"name = '\xff'\n")
    with pytest.raises(InputError, match=r"recipe\.toml: not valid TOML"):
        read_toml(path)


def test_a_missing_file_and_a_folder_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.toml: there is no such file"):
        read_toml(tmp_path / "absent.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_toml(tmp_path)
