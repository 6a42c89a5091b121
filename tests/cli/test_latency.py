"""`truing latency`: what is printed, that nothing of it is ever reused, and what is refused."""

import json
from pathlib import Path

from tests.cli.conftest import Truing
from tests.evals.tasks.conftest import write_lines
from truing.ledger.ledger import Ledger


def test_it_is_an_observation_of_this_time_and_machine_and_measured_anew(
    truing: Truing, tmp_path: Path, tiny_folder: Path
) -> None:
    write_lines(tmp_path / "prompts.jsonl", [{"prompt": f"Hi {number}"} for number in range(6)])
    words = ("latency", str(tiny_folder), "--prompts", "prompts.jsonl", "--max-new-tokens", "4", "--limit", "3")
    code, out, err = truing(*words, "--json")
    assert (code, err) == (0, "")
    first = json.loads(out)
    assert (first["prompts"], first["unknown"]) == (3, 0)
    assert first["first_token_seconds"]["p50"]["value"] > 0
    assert first["first_token_seconds"]["p95"]["high"] is None
    assert first["machine"]["device"] == "cpu"
    assert first["began"] < first["ended"]
    code, out, _ = truing(*words)
    assert code == 0
    assert "first token, seconds" in out
    assert "3 prompts, one at a time, at most 4 tokens; 0 unknown" in out
    made = Ledger.open(Path(".truing"), create=False).list("latency")
    assert len(made) == 2, "the second run is another observation"
    assert all(one.observation for one in made)
    folder = Ledger.open(Path(".truing"), create=False).folder(made[0])
    assert len((folder / "times.jsonl").read_text().splitlines()) == 3
    code, _, err = truing("latency", str(tiny_folder), "--prompts", "none.jsonl")
    assert code == 2
    assert "none.jsonl" in err
    write_lines(tmp_path / "long.jsonl", [{"prompt": "a" * 600}])
    code, _, err = truing("latency", str(tiny_folder), "--prompts", "long.jsonl")
    assert code == 2
    assert "prompt 1 takes" in err
