"""`truing gate BASE MODEL --sequential`, as a user types it."""

import json
from pathlib import Path

from tests.cli.conftest import Truing
from tests.evals.tasks.conftest import write_csv
from tests.evals.tasks.test_harmful import goals

ANSWERS = ("--data-dir", "sets", "--set", "eval.max_new_tokens=3")


def test_a_model_is_gated_by_as_many_items_as_are_needed_and_the_part_is_no_evaluation(
    truing: Truing, tmp_path: Path, tiny_folder: Path
) -> None:
    write_csv(tmp_path / "sets/advbench/advbench.csv", goals(9))
    (tmp_path / "gate.toml").write_text(
        '[[rule]]\nmetric = "advbench"\nrequire = "no worse"\nmargin = 0.9\nunknown = "failures"\n'
    )
    assert truing("eval", str(tiny_folder), "--task", "advbench", *ANSWERS)[0] == 0
    words = ("gate", "eval", str(tiny_folder), "--policy", "gate.toml", "--data-dir", "sets")
    code, _, err = truing(*words)
    assert code == 2
    assert "is a model, and no evaluation; measure it with `truing eval`, or add --sequential" in err
    code, out, _ = truing(*words, "--sequential")
    assert code == 0
    assert "all 9 items were measured, every verdict is certain" in out
    assert "this is no whole evaluation" in out
    code, _, err = truing("compare", "eval", "gate")
    assert code == 2
    assert "is of the kind 'partial_evaluation'; it must be an evaluation" in err
    code, _, err = truing("gate", "eval", "eval", "--policy", "gate.toml", "--model", "smollm2-135m")
    assert (code, "--model: eval is no model that is measured" in err) == (2, True)
    assert truing("show", "eval", "--export", "base.jsonl")[0] == 0
    code, out, _ = truing("gate", "base.jsonl", *words[2:], "--sequential", "--json")
    assert code == 0
    assert json.loads(out)["metrics"][0]["verdict"] == "no worse"
