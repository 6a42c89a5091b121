"""`truing eval openai:MODEL --task …` over sockets: faults, what is unknown, a budget, a kill, and what is current."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Truing
from tests.conftest import REPOSITORY
from tests.evals.tasks.conftest import write_csv, write_json
from tests.evals.tasks.test_harmful import goals
from tests.evals.tasks.test_truthfulqa import BY_HAND
from tests.providers.deployed import each_format, need
from tests.providers.server import Body, Cut, Echo, Hang, Says, Seen, Status, WireServer, wire_server
from truing.core.records import ItemResult
from truing.evals.artifact import read_items
from truing.ledger.ledger import Ledger

REFUSAL = "I can't help with that."
SECRET = "sk-live-0123456789abcdef"
MAIN = "from truing.cli.app import main; main()"
ROWS = 6


def refuses_odd(seen: Seen) -> Says:
    """Refuses `Do 1`, `Do 3`, `Do 5`; answers the others."""
    return Says(REFUSAL if int(seen.question[-1]) % 2 else "Like this.")


@pytest.fixture
def server() -> Iterator[WireServer]:
    need("openai")
    with wire_server() as started:
        started.says = refuses_odd
        yield started


@pytest.fixture(autouse=True)
def sets(tmp_path: Path) -> None:
    write_csv(tmp_path / "sets/advbench/advbench.csv", goals(ROWS))
    write_json(tmp_path / "sets/truthfulqa/mc_task.json", BY_HAND)


def words(server: WireServer, *remote: str, provider: str = "openai") -> tuple[str, ...]:
    """The command for AdvBench, one request at a time."""
    address = server.url + ("/v1" if provider == "openai" else "")
    settings = (f"base_url={address}", "backoff=0.01", "concurrency=1", *remote)
    options = [word for setting in settings for word in ("--remote", setting)]
    return ("eval", f"{provider}:tiny", "--task", "advbench", "--data-dir", "sets", *options)


def told(out: str) -> tuple[str, dict[str, Any]]:
    """The artifact's id and the observations of `--json`."""
    found = json.loads(out)
    return found["steps"]["eval"]["artifact"], found["observed"]


def items(artifact: str) -> dict[str, ItemResult]:
    ledger = Ledger.open(Path(".truing"), create=False)
    return {item.item: item for item in read_items(ledger.folder(ledger.get(artifact)))}


@each_format
def test_each_providers_answers_are_judged_as_a_local_models_are(
    truing: Truing, server: WireServer, provider: str, stream: bool
) -> None:
    need(provider)
    remote = (f"stream={str(stream).lower()}", "system_prompt=Be brief.", "concurrency=3")
    prices = '[prices."tiny"]\nprompt = 1.0\noutput = 10.0\n'
    Path("prices.toml").write_text(prices)
    code, out, err = truing(*words(server, *remote, provider=provider), "--remote", "prices.toml", "--json")
    assert (code, err) == (0, "")
    artifact, observed = told(out)
    found = items(artifact)
    assert {name: item.value for name, item in found.items()} == {f"advbench-{n}": float(n % 2) for n in range(ROWS)}
    assert observed["system"] == f"{provider}:tiny"
    assert observed["reported_models"] == {"served-2026-11": ROWS}
    assert observed["system_prompt"] == "Be brief."
    assert (observed["answers"], observed["requests"], observed["missing"]) == (ROWS, ROWS, {})
    assert (observed["prompt_tokens"], observed["output_tokens"]) == (11 * ROWS, 7 * ROWS)
    assert observed["cost"] == pytest.approx((11 * 1 + 7 * 10) * ROWS / 1e6)
    (report,) = json.loads(out)["tasks"]
    assert json.loads(report["first_prompt"]) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Do 0"},
    ]
    assert len(report["versions"]) == 2
    ledger = Ledger.open(Path(".truing"), create=False)
    lines = (ledger.folder(ledger.get(artifact)) / "observed.jsonl").read_text().splitlines()
    assert len(lines) == ROWS
    first = json.loads(lines[0])
    assert first["prompt"][0]["content"] == "Be brief."
    assert observed["first"] == first["answer"]["observed"]["time"]
    assert ledger.get(artifact).observation


def test_what_passes_is_asked_again_and_what_is_no_whole_answer_is_unknown_with_its_reason(
    truing: Truing, server: WireServer
) -> None:
    """Each would be judged a refusal, or none, if its text were."""
    server.script += [
        *(
            Status(429, headers={"Retry-After-Ms": "5"}),
            Status(500),
            Cut(),
            Says(REFUSAL),
        ),  # the first item, in the end
        Body("{broken"),
        Says(REFUSAL, stop="content_filter"),
        Says("  "),
        Says(REFUSAL, refusal="I may not."),
        Says(REFUSAL, stop="error"),
    ]
    code, out, _ = truing(*words(server), "--json")
    assert code == 0
    artifact, observed = told(out)
    found = [items(artifact)[f"advbench-{n}"] for n in range(ROWS)]
    assert [item.value for item in found] == [1.0, None, None, None, None, None]
    reasons = [item.reason for item in found[1:]]
    assert reasons[0].startswith("no reply: the reply cannot be read")
    assert reasons[1:] == [
        "the provider's filter cut it off (content_filter)",
        "the reply is empty (stop reason: stop)",
        "the provider refused in the model's place: I may not.",
        "the server broke the answer off (error)",
    ]
    assert [(item.answer, item.finished) for item in found[1:]] == [("", None)] * 5
    assert (observed["answers"], observed["requests"], sum(observed["missing"].values())) == (ROWS, 9, 5)
    (figure, *_) = json.loads(out)["tasks"][0]["figures"]
    assert (figure["value"], figure["n"], figure["unknown"]) == (1.0, ROWS, 5)
    code, out, _ = truing(*words(server))
    assert code == 0
    assert "missing" not in out  # the faults are over: nothing of them was kept as current
    assert "openai:tiny (reported as served-2026-11) answered " in out
    assert "6 answers by 6 requests: 66 prompt and 42 output tokens; cost unknown (no price is set)" in out


def test_every_run_asks_anew_and_none_is_reused(truing: Truing, server: WireServer) -> None:
    first, _ = told(truing(*words(server), "--json")[1])
    server.says = lambda _: Says(REFUSAL)
    second, _ = told(truing(*words(server), "--json")[1])
    assert len(server.seen) == 2 * ROWS
    assert sum(item.value or 0 for item in items(first).values()) == ROWS // 2
    assert sum(item.value or 0 for item in items(second).values()) == ROWS
    code, out, err = truing("compare", first, second)
    assert (code, err) == (0, "")
    for name in (first, second):
        assert f"{name}: openai:tiny (reported as served-2026-11) answered " in out
    Path("rules.toml").write_text('[[rule]]\nmetric = "advbench"\nrequire = "better"\n')
    code, out, _ = truing("gate", first, second, "--policy", "rules.toml")
    assert code == 4  # six items are not enough evidence
    assert out.count("openai:tiny (reported as served-2026-11) answered ") == 2
    code, out, err = truing("compare", first, second, "--json")
    assert json.loads(out)[0]["task"] == "advbench"
    assert err.count(" answered ") == 2


def test_a_budget_stops_with_exit_3_and_resume_asks_for_what_is_missing_alone(
    truing: Truing, server: WireServer
) -> None:
    command = words(server, "budget_tokens=130")  # 18 an answer, and 60 held back for the next: room for four
    code, out, err = truing(*command)
    assert (code, out.count("AdvBench")) == (3, 0)
    assert "with --resume the same command goes on with what is missing" in err
    asked = len(server.seen)
    assert 0 < asked < ROWS
    code, out, err = truing(*command, "--resume", "--json")
    assert (code, err) == (0, "")
    assert sorted(seen.question for seen in server.seen) == [f"Do {n}" for n in range(ROWS)]
    artifact, observed = told(out)
    assert (observed["answers"], observed["earlier"], observed["spending"]["requests"]) == (ROWS, asked, ROWS - asked)
    assert observed["first"] < observed["last"]
    assert observed["prompt_tokens"] == 11 * ROWS
    assert {item.value for item in items(artifact).values()} == {0.0, 1.0}
    code, _, err = truing(*command, "--resume")
    assert code == 2
    assert "there is no unfinished evaluation of openai:tiny" in err


def test_an_answer_without_a_reply_is_asked_for_again_on_resuming(truing: Truing, server: WireServer) -> None:
    server.script += [Says("Yes."), Status(400, "no"), *(Status(400, "no") for _ in range(2))]
    code, _, err = truing(*words(server, "failures_in_a_row=3"))
    assert code == 3
    assert "3 requests in a row brought no reply" in err
    code, out, _ = truing(*words(server, "failures_in_a_row=3"), "--resume", "--json")
    assert code == 0
    assert told(out)[1]["missing"] == {}
    assert [seen.question for seen in server.seen[4:]] == [f"Do {n}" for n in range(1, ROWS)]


def test_since_counts_what_came_since_and_a_fresh_run_says_what_it_leaves(truing: Truing, server: WireServer) -> None:
    before = datetime.now(UTC).isoformat()
    truing(*words(server, "budget_tokens=130"))
    kept = len(server.seen)
    between = datetime.now(UTC).isoformat()
    code, out, _ = truing(*words(server, "budget_tokens=130"))  # without --resume: the first ones are asked again
    assert code == 3
    assert "for every answer anew (--since 2" in out
    assert [seen.question for seen in server.seen[:kept]] == [seen.question for seen in server.seen[kept:]]
    # Another limit is another evaluation, and the answers are the same ones.
    _, out, _ = truing(*words(server), "--since", between, "--limit", "2", "--json")
    assert told(out)[1]["earlier"] >= 1
    assert told(out)[1]["first"] > between[:19]
    asked = len(server.seen)
    _, out, _ = truing(*words(server), "--since", before, "--json")
    assert told(out)[1]["earlier"] >= kept
    assert len(server.seen) < asked + ROWS
    now = datetime.now(UTC).isoformat()
    asked = len(server.seen)
    _, out, _ = truing(*words(server), "--since", now, "--json")
    assert (told(out)[1]["earlier"], len(server.seen)) == (0, asked + ROWS)


def test_after_kill_9_resume_pays_for_no_answer_twice(truing: Truing, server: WireServer, tmp_path: Path) -> None:
    server.says = lambda seen: Hang() if int(seen.question[-1]) > 2 else refuses_odd(seen)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = words(server, "concurrency=2")
    running = subprocess.Popen([sys.executable, "-c", MAIN, *command], cwd=tmp_path, env=environment)
    try:
        while len(list((tmp_path / ".truing/store").glob("*/*"))) < 3 or len(server.seen) < 5:
            assert running.poll() is None
            time.sleep(0.02)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    killed, asked = datetime.now(UTC).isoformat(), len(server.seen)
    server.says = refuses_odd
    code, out, err = truing(*command, "--resume", "--json")
    assert (code, err) == (0, "")
    artifact, observed = told(out)
    assert sorted(seen.question for seen in server.seen[asked:]) == ["Do 3", "Do 4", "Do 5"]
    assert observed["earlier"] == 3
    assert observed["first"] < killed < observed["last"]
    assert {name: item.value for name, item in items(artifact).items()} == {
        f"advbench-{n}": float(n % 2) for n in range(ROWS)
    }
    assert not list((tmp_path / ".truing/work").glob("*/began"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--task", "advbench,truthfulqa"],
            "truthfulqa: this compares log-probabilities of given texts, which openai:tiny does not give; ask it for "
            "advbench alone, or measure a local model",
        ),
        (["--task", "truthfulqa"], "which openai:tiny does not give; choose tasks that judge answers"),
        (["--remote", "base_url=localhost:8000"], "base_url must be an address that begins with http:// or https://"),
        (["--remote", "base_url=~~~"], "base_url must be an address that begins with http:// or https://"),
        (["--remote", "base_url=http://host:port/v1"], "base_url must name a server, and a port only as a number"),
        (["--remote", f"key_env={SECRET}"], "key_env must be the NAME of an environment variable"),
        (["--since", "yesterday"], "--since 'yesterday' is no time; write it with its zone"),
        (["--since", "2026-11-30T12:00:00"], "--since '2026-11-30T12:00:00' has no time zone"),
        (["--since", "2999-01-01T00:00:00Z"], "--since '2999-01-01T00:00:00Z' lies ahead"),
        (["--since", "2020-01-01T00:00:00Z", "--resume"], "--since and --resume are two ways"),
        (["--set", "model.dtype=bfloat16"], "[model] dtype: openai:tiny is a deployed model, for which this means"),
        (["--model", "smollm2-135m"], "'openai:tiny' and --model 'smollm2-135m' are two models"),
    ],
)
def test_bad_input_is_one_sentence_and_nobody_is_asked(
    truing: Truing, server: WireServer, arguments: list[str], sentence: str
) -> None:
    code, out, err = truing(*words(server), *arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert sentence in line
    assert SECRET not in line
    assert server.seen == []
    assert not Path(".truing").exists()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["eval", "openai:tiny"], "the probes compare log-probabilities, which openai:tiny does not give; with --task"),
        (["eval", "mine", "--model", "openai:tiny", "--task", "advbench"], "an adapter needs a local model's weights"),
        (
            ["eval", "smollm2-135m", "--resume", "--remote", "retries=1"],
            "--remote and --resume are for deployed models",
        ),
        (["eval", "openai:tiny", "--task", "advbench", "--data-dir", "sets"], "OPENAI_API_KEY is not set; export"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(
    truing: Truing, monkeypatch: pytest.MonkeyPatch, command: list[str], sentence: str
) -> None:
    need("openai")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    code, out, err = truing(*command)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert sentence in line
    assert not Path(".truing").exists()


def test_the_key_is_in_no_output_and_no_file(
    truing: Truing, server: WireServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    server.script += [Echo(), Echo(400), Echo(500)]
    command = words(server, "key_env=MY_KEY")
    outputs = [truing(*command, "--json"), truing(*command)]
    server.says = lambda _: Echo(401)
    outputs.append(truing("--debug", *command))
    assert [code for code, _, _ in outputs] == [0, 0, 2]
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert SECRET in str(server.seen)
    assert SECRET not in "".join(out + err for _, out, err in outputs)
    assert SECRET.encode() not in kept
    assert b"[key]" in kept
