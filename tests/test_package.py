"""The front door: sorted, complete, documented, and cheap to import."""

import inspect
import re
import subprocess
import sys

import pytest

import truing
from tests.conftest import REPOSITORY


def test_the_public_names_are_sorted_complete_and_each_comes_from_its_home() -> None:
    def key(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)  # constants, classes, functions

    assert truing.__all__ == sorted(truing.__all__, key=key)
    assert set(truing.__all__) == {*truing._HOMES, "__version__"}
    assert set(truing.__all__) <= set(dir(truing))
    for name in truing._HOMES:
        assert getattr(truing, name) is not None
        assert name == "METRICS" or inspect.getdoc(getattr(truing, name))


def test_what_type_checkers_see_is_what_is_imported() -> None:
    source = inspect.getsource(truing)
    seen = {}
    for module, names in re.findall(r"^    from truing\.(\S+) import (.+)$", source, re.MULTILINE):
        for name in names.split(", "):
            inner, _, outer = name.partition(" as ")
            seen[outer or inner] = f"{module}:{inner}" if outer else module
    assert seen == truing._HOMES


def test_each_public_name_is_shown_at_work_on_the_api_page() -> None:
    page = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    assert [name for name in truing.__all__ if f"truing.{name}" not in code] == []


def test_importing_truing_imports_nothing_heavy() -> None:
    code = "import sys, truing; dir(truing); print([name for name in ('torch', 'pydantic') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'train_ppo'; its public names are in truing\.__all__"):
        truing.train_ppo  # noqa: B018
