"""RewardBench by hand: both forms, the paper's sections and their mean, what cannot be used; chance."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import tiny_model
from tests.evals.tasks.conftest import measured, real, subject, values, write_lines
from tests.loops.tiny import byte_tokenizer
from truing.core.errors import InputError
from truing.data import files
from truing.engine.trunk import Trunk
from truing.evals.task import Subject, TaskSettings
from truing.evals.tasks.rewardbench import _CODE, _MATHEMATICS, _SECTIONS, REWARDBENCH
from truing.providers.local import LocalSystem

FILE = "rewardbench/filtered.jsonl"


def row(number: int, subset: str = "donotanswer", **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "subset": subset,
        "prompt": f"Prompt {number}",
        "chosen": f"good {number}",
        "rejected": f"bad {number}",
        "chosen_model": "people",
        **changes,
    }


def likes(*right: int) -> Any:
    """Finds the chosen answer of these pairs the likelier one, and of all others the rejected one."""

    def likelihood(prompt: str, answer: str) -> list[float]:
        good = answer.startswith("good")
        return [-1.0 if good == (int(prompt.split()[1]) in right) else -2.0]

    return subject(likelihood=likelihood)


def test_sections_weigh_as_in_the_paper(tmp_path: Path) -> None:
    """Chat 1 of 2, Chat Hard 1 of 1, Safety 0 of 1; mathematics 1 of 1 and code 1 of 4, each half of Reasoning."""
    subsets = ["alpacaeval-easy", "mt-bench-med", "mt-bench-hard", "donotanswer", "math-prm"]
    subsets += ["hep-cpp", "hep-go", "hep-python", "hep-rust"]
    write_lines(tmp_path / FILE, [row(n, subset) for n, subset in enumerate(subsets)])
    figures, items = measured(REWARDBENCH, tmp_path, likes(0, 2, 4, 5))
    reasoning = (1 + 1 / 4) / 2
    expected = {
        "": 4 / 9,
        "_chat": 1 / 2,
        "_chat_hard": 1.0,
        "_safety": 0.0,
        "_reasoning": reasoning,
        "_sections": (1 / 2 + 1 + 0 + reasoning) / 4,
    }
    forms = ("rewardbench", "rewardbench_per_token")
    assert values(figures) == {
        f"{form}{name}": pytest.approx(value) for form in forms for name, value in expected.items()
    }
    assert items["rewardbench", "donotanswer/3"].answer == "bad 3"
    mean = figures["rewardbench_sections"]
    assert 0 <= (mean.low or 0) < (mean.value or 0) < (mean.high or 0) <= 1
    assert mean.n == 9


def test_sum_and_mean_over_tokens_may_differ(tmp_path: Path) -> None:
    """Three tokens of −1 are less likely than two of −1.4, and likelier token by token."""
    write_lines(tmp_path / FILE, [row(0)])
    system = subject(likelihood=lambda _, answer: [-1.0] * 3 if answer == "good 0" else [-1.4] * 2)
    _, items = measured(REWARDBENCH, tmp_path, system)
    assert items["rewardbench", "donotanswer/0"].detail["margin"] == pytest.approx(-0.2)
    assert items["rewardbench_per_token", "donotanswer/0"].detail["margin"] == pytest.approx(0.4)
    assert [item.value for item in items.values()] == [0.0, 1.0]


def test_a_section_that_is_missing_leaves_the_mean_unknown(tmp_path: Path) -> None:
    write_lines(tmp_path / FILE, [row(0), row(1, "math-prm"), row(2, "my-own")])
    figures, _ = measured(REWARDBENCH, tmp_path, likes(0, 1, 2))
    assert figures["rewardbench"].value == 1.0
    assert figures["rewardbench_safety"].n == 1
    for name in ("rewardbench_reasoning", "rewardbench_sections"):
        assert (figures[name].value, figures[name].low, figures[name].high) == (None, None, None)
    assert "rewardbench_chat" not in figures


def test_pairs_about_one_prompt_go_together_and_ties_lose(tmp_path: Path) -> None:
    rows = [row(0, "alpacaeval-easy", prompt="Same"), row(0, "alpacaeval-hard", prompt="Same"), row(1)]
    write_lines(tmp_path / FILE, rows)
    system = subject(likelihood=lambda *_: [-1.0])
    figures, items = measured(REWARDBENCH, tmp_path, system)
    assert len({item.cluster for item in items.values()}) == 2
    assert figures["rewardbench"].value == 0.0
    figures, _ = measured(REWARDBENCH, tmp_path, system, TaskSettings(ties="right"))
    assert figures["rewardbench"].value == 1.0


def test_the_chat_template_counts_and_what_does_not_fit_is_unknown(tmp_path: Path) -> None:
    """On a tiny model whose context is 256 bytes: the same numbers as the system's own, pair by pair."""
    write_lines(tmp_path / FILE, [row(0), row(1, rejected="long " * 60)])
    tokenizer = byte_tokenizer()
    system = LocalSystem(Trunk.of(tiny_model(vocabulary=len(tokenizer)), tokenizer, "tiny"))
    first, second = REWARDBENCH.read(tmp_path).rows
    rows = [(first.prompt, first.chosen), (first.prompt, first.rejected)]
    chosen, rejected = (scores for _, scores in sorted(system.score(rows)))
    tiny = Subject("tiny", system, system, system.misfit, system)
    items = {(item.task, item.item): item for item in REWARDBENCH.run(tiny, [first, second], TaskSettings())}
    assert items["rewardbench", first.id].detail["margin"] == pytest.approx(sum(chosen) - sum(rejected))
    per_token = sum(chosen) / len(chosen) - sum(rejected) / len(rejected)
    assert items["rewardbench_per_token", first.id].detail["margin"] == pytest.approx(per_token)
    assert items["rewardbench", second.id].value is None
    assert "more than the model's context of 256" in items["rewardbench_per_token", second.id].reason


def test_scores_that_are_no_numbers_are_unknown(tmp_path: Path) -> None:
    write_lines(tmp_path / FILE, [row(0)])
    _, items = measured(REWARDBENCH, tmp_path, subject(likelihood=lambda *_: [float("nan")]))
    assert {item.reason for item in items.values()} == {"the log-probabilities are not finite"}


def test_a_system_that_scores_no_answers_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / FILE, [row(0)])
    remote = Subject("remote", subject().sampler, None)
    with pytest.raises(InputError, match="rewardbench compares log-probabilities of given answers, which remote does"):
        list(REWARDBENCH.run(remote, REWARDBENCH.read(tmp_path).rows, TaskSettings()))


@pytest.mark.parametrize("shuffled", [False, True])
def test_under_shuffled_labels_a_perfect_judge_is_at_chance(tmp_path: Path, shuffled: bool) -> None:
    draw = random.Random(0)
    rows = []
    for number in range(400):
        swapped = shuffled and draw.random() < 0.5
        answers = {"chosen": f"bad {number}", "rejected": f"good {number}"} if swapped else {}
        rows.append(row(number, **answers))
    write_lines(tmp_path / FILE, rows)
    figures, _ = measured(REWARDBENCH, tmp_path, likes(*range(400)))
    assert figures["rewardbench"].value == (pytest.approx(1 / 2, abs=0.07) if shuffled else 1.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": 0}, "the id 'donotanswer/0' stands twice, first in line 1"),
        ({"id": [1]}, "'id' is [1]; a number or a text is expected"),
        ({"subset": ""}, "'subset' is missing or empty"),
        ({"chosen": "bad 1"}, "'chosen' and 'rejected' are the same text"),
        ({"rejected": 7}, "'rejected' is 7; a text is expected"),
        ({"prompt": [{"role": "user"}]}, "'prompt', message 1: expected an object with the string keys"),
        ({"prompt": [{"role": "assistant", "content": "Hello"}]}, "turn 1 of the prompt is by 'assistant'"),
    ],
)
def test_a_row_that_cannot_be_used_is_listed(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    write_lines(tmp_path / FILE, [row(0), row(1, **changes)])
    loaded = REWARDBENCH.read(tmp_path)
    assert [one.id for one in loaded.rows] == ["donotanswer/0"]
    assert (loaded.bad[0].line, loaded.bad[0].reason.startswith(reason)) == (2, True), loaded.bad[0].reason


def test_parquet_and_conversations_read_alike(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install 'truing[parquet]'")
    parquet = pytest.importorskip("pyarrow.parquet")
    write_lines(tmp_path / FILE, [row(0), row(1)])
    written = REWARDBENCH.read(tmp_path).rows
    (tmp_path / FILE).unlink()
    said = [{"role": "user", "content": "Prompt 0"}]
    rows = [row(0), row(1)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rewardbench/filtered.parquet")
    assert REWARDBENCH.read(tmp_path).rows == written
    (tmp_path / "rewardbench/filtered.parquet").unlink()
    write_lines(tmp_path / FILE, [row(0, prompt=said), row(1)])
    assert REWARDBENCH.read(tmp_path).rows == written
    assert files.kind_of(tmp_path / FILE) == "jsonl"


def test_two_files_with_the_same_pairs_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_lines(tmp_path / f"rewardbench/{name}.jsonl", [row(0)])
    with pytest.raises(InputError, match="two files hold the same pair; keep one of them"):
        REWARDBENCH.read(tmp_path)


def test_the_real_file(shared_data: Path) -> None:
    loaded = real(REWARDBENCH, shared_data)
    assert len(loaded.rows) + len(loaded.bad) == 2985
    known = {*_MATHEMATICS, *_CODE, *(one for some in _SECTIONS.values() for one in some)}
    assert {one.subset for one in loaded.rows} == known
