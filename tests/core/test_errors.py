"""Exit codes: 2 says that the input is wrong and nothing was changed, 3 that a run failed and goes on."""

import pytest

from truing.core.errors import InputError, RunError, TruingError


@pytest.mark.parametrize(("error", "code"), [(TruingError, 3), (InputError, 2), (RunError, 3)])
def test_exit_codes(error: type[TruingError], code: int) -> None:
    assert error("why").exit_code == code
    assert issubclass(error, TruingError)
    assert str(error("why, and what to do")) == "why, and what to do"


def test_a_wrong_input_is_told_from_a_failed_run_and_from_a_gate_that_does_not_hold() -> None:
    assert len({0, 1, 4, InputError.exit_code, RunError.exit_code}) == 5
