"""Deployed models from the command line: sample and chat, a budget, a stop, a key that is nowhere, and no other
call."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Truing
from tests.conftest import REPOSITORY
from tests.providers.deployed import need
from tests.providers.server import Echo, Hang, Says, Seen, Status, WireServer, wire_server

SECRET = "sk-live-0123456789abcdef"
RULES = '[[rule]]\nname = "short"\nkind = "length"\nunit = "characters"\nat_most = 12\n'
WATCH = """
import sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("CALL", event, arguments[1:2] if event == "socket.connect" else arguments[:2], file=sys.stderr,
        flush=True)
sys.addaudithook(watch)
from truing.cli.app import main
try:
    main()
finally:
    print("TORCH", "torch" in sys.modules, file=sys.stderr)
"""


@pytest.fixture
def server() -> Iterator[WireServer]:
    need("openai")
    with wire_server() as started:
        started.says = lambda seen: Says(f"{seen.question} {len(started.seen)}")
        yield started


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    rows = [{"prompt": f"Say {n}."} for n in (1, 2, 3)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def words(server: WireServer) -> tuple[str, ...]:
    return ("--model", "openai:tiny", "--remote", f"base_url={server.url}/v1", "--remote", "backoff=0.01")


SAMPLE = ("sample", "prompts.jsonl", "--reward", "rules.toml", "--best-of", "2")


def test_the_best_of_a_deployed_models_answers_and_what_they_cost(truing: Truing, words: tuple[str, ...]) -> None:
    code, out, err = truing(*SAMPLE, *words)
    assert code == 0, err
    assert "Say 1." in out
    assert "best of 2" in out
    assert "openai:tiny: 6 requests, 6 answers, 0 missing; 66 prompt and 42 output tokens; cost unknown" in err
    assert not Path(".truing").exists()


def test_json_carries_time_reported_model_and_spending(truing: Truing, words: tuple[str, ...]) -> None:
    Path("prices.toml").write_text('[prices."tiny"]\nprompt = 1.0\noutput = 10.0\n')
    code, out, err = truing(*SAMPLE, *words, "--remote", "prices.toml", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["spending"]["cost_at_most"] == pytest.approx((66 * 1 + 42 * 10) / 1e6)
    for one in found["prompts"]:
        for candidate in one["candidates"]:
            assert candidate["observed"]["reported_model"] == "served-2026-11"
            assert candidate["observed"]["time"].endswith("Z")
            assert (candidate["tokens"], candidate["logprob"]) == (7, None)  # log-probabilities were not asked for


def test_missing_answers_have_no_reward_and_are_counted(
    truing: Truing, server: WireServer, words: tuple[str, ...]
) -> None:
    server.says = lambda seen: Says(stop="content_filter") if seen.question == "Say 2." else Says("Yes.")
    code, out, _ = truing(*SAMPLE, *words)
    assert code == 0
    assert "no answer: the provider's filter cut it off (content_filter)" in out
    assert "2 of 6 answers are missing:" in out
    server.says = lambda _: Status(400, "no")
    code, out, err = truing(*SAMPLE, *words)
    assert (code, out) == (3, "")
    assert "there is no answer to any prompt; the first is missing for this reason: no reply: " in err


def test_a_budget_keeps_and_shows_what_was_answered_and_the_same_command_goes_on(
    truing: Truing, server: WireServer, words: tuple[str, ...]
) -> None:
    command = (*SAMPLE, *words, "--max-new-tokens", "20", "--out", "out.jsonl", "--remote", "concurrency=1")
    code, out, err = truing(*command, "--remote", "budget_tokens=110")
    assert code == 3
    assert "Say 1." in out
    assert "Say 3." not in out
    assert "the budget of 110 tokens has no room for the next prompt: 36 tokens are spent" in err
    first = Path("out.jsonl").read_text()
    assert len(first.splitlines()) == 1
    asked = len(server.seen)
    code, out, err = truing(*command)
    assert code == 0
    assert "1 prompt of 3 kept in out.jsonl, answered at 20" in err  # an old answer says when it was given
    assert len(server.seen) == asked + 4
    assert Path("out.jsonl").read_text().startswith(first)


def test_a_prompt_without_a_reply_is_asked_again_by_the_same_command(
    truing: Truing, server: WireServer, words: tuple[str, ...]
) -> None:
    command = (*SAMPLE, *words, "--out", "out.jsonl", "--remote", "concurrency=1")
    server.script += [Status(400, "no")]
    truing(*command)
    asked = len(server.seen)
    code, out, err = truing(*command)
    assert (code, len(server.seen)) == (0, asked + 2)
    assert "2 prompts of 3 kept" in err
    assert "missing" not in out
    assert truing(*command)[0] == 0
    assert len(server.seen) == asked + 2


def test_chat_asks_a_deployed_model(truing: Truing, server: WireServer, words: tuple[str, ...]) -> None:
    code, out, _ = truing("chat", *words, "--prompt", "Why?", "--json")
    answer = json.loads(out)["answers"]["openai:tiny"]
    assert (code, answer["text"], answer["finished"], answer["missing"]) == (0, "Why? 1", True, "")
    assert answer["observed"]["provider"] == "openai"
    assert server.seen[0].body["temperature"] == 0
    server.says = lambda _: Says("", stop="length")
    code, out, _ = truing("chat", *words, "--prompt", "Why?")
    assert "(the reply is empty (stop reason: length))" in out


def test_the_key_is_in_no_output_and_no_file(
    truing: Truing, server: WireServer, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Even where the server sends it back, in an answer, a model's name or an error."""
    monkeypatch.setenv("MY_KEY", SECRET)
    server.script += [Echo(), Echo(400), Echo(500), Says("Yes.")]
    told = ""
    for command in (
        (*SAMPLE, *words, "--out", "out.jsonl"),
        (*SAMPLE, *words, "--json"),
        ("chat", *words, "--prompt", "Why?", "--json"),
    ):
        _, out, err = truing(*command, "--remote", "key_env=MY_KEY")
        told += out + err
    server.says = lambda _: Echo(401)
    _, out, err = truing("--debug", *SAMPLE, *words, "--remote", "key_env=MY_KEY")
    assert "the server refuses the key" in err
    told += out + err + "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    assert SECRET in str(server.seen)
    assert "[key]" in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--remote", "nonsense"], "--remote: write it as KEY=VALUE, or name a TOML file (*.toml)"),
        (["--remote", f"={SECRET}"], "--remote: write it as KEY=VALUE, or name a TOML file (*.toml)"),
        (["--remote", f"key_env={SECRET}"], "--remote: key_env must be the NAME of an environment variable"),
        (["--remote", "key_env=ABSENT_KEY"], "key_env names an environment variable that is not set"),
        (["--remote", "absent.toml"], "absent.toml: there is no such file"),
        (["--remote", "budget_cost=1"], "budget_cost needs the price of 'tiny'"),
        (["--adapter", "mine"], "--adapter: openai:tiny is a deployed model, for which this means nothing"),
        (["--template", "plain"], "--template: openai:tiny is a deployed model, for which this means nothing"),
        (["--reward", "ledger:mine"], "--reward: a trained reward model reads with a local model's weights"),
        (["--model", "openai:"], "'openai:' names no model; write openai:MODEL"),
        (["--model", "smollm2-135m"], "--remote is for deployed models, and smollm2-135m is a local one"),
    ],
)
def test_bad_input_is_one_sentence_and_nobody_is_asked(
    truing: Truing, server: WireServer, words: tuple[str, ...], arguments: list[str], sentence: str
) -> None:
    code, out, err = truing(*SAMPLE, *words, *arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"truing: {sentence}")
    assert SECRET not in err
    assert server.seen == []


def test_the_providers_own_server_needs_a_key_and_is_not_asked_without(truing: Truing) -> None:
    need("openai")
    code, _, err = truing(*SAMPLE, "--model", "openai:tiny")
    assert code == 2
    assert "OPENAI_API_KEY is not set; export your key under that name" in err


@pytest.mark.parametrize(
    "command",
    [
        ("train", "sft", "prompts.jsonl", "--model", "openai:tiny"),
        ("demo", "--quick", "--set", 'model="openai:tiny"'),
    ],
    ids=["train", "demo"],
)
def test_what_needs_weights_refuses_a_deployed_model_in_one_sentence(truing: Truing, command: tuple[str, ...]) -> None:
    code, _, err = truing(*command)
    assert code == 2
    assert "this needs weights or log-probabilities, and openai:tiny is a deployed model" in err.splitlines()[-1]


def _watched(folder: Path, *words: str, **options: Any) -> "subprocess.Popen[str]":
    """The command line in a process of its own that tells every connection which it makes."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", WATCH, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_nobody_is_called_unless_a_provider_is_named_and_then_nobody_else(
    server: WireServer, words: tuple[str, ...], tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With keys and addresses of all providers in the environment. The second run is the control: its call is seen."""
    for name in ("OPENAI", "ANTHROPIC", "GEMINI"):
        monkeypatch.setenv(f"{name}_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    local = _watched(tmp_path, *SAMPLE, "--model", str(tiny_folder), "--max-new-tokens", "4")
    remote = _watched(tmp_path, *SAMPLE, *words)
    out, err = local.communicate(timeout=300)
    assert local.returncode == 0, err
    assert "best of 2" in out
    assert "CALL" not in err
    out, err = remote.communicate(timeout=300)
    assert remote.returncode == 0, err
    calls = [line for line in err.splitlines() if line.startswith("CALL")]
    assert any("socket.connect" in line for line in calls)
    assert all("127.0.0.1" in line for line in calls)
    assert "TORCH False" in err  # a deployed model needs none


def test_ctrl_c_ends_at_once_and_keeps_what_is_whole(
    server: WireServer, words: tuple[str, ...], tmp_path: Path
) -> None:
    server.says = _all_but("Say 3.")
    running = _watched(
        tmp_path,
        *SAMPLE,
        *words,
        "--out",
        "out.jsonl",
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell may have it ignored
    )
    while not (tmp_path / "out.jsonl").exists() or len((tmp_path / "out.jsonl").read_text().splitlines()) < 2:
        assert running.poll() is None, running.stderr.read() if running.stderr else ""
        server.closing.wait(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stopped; what was finished is kept" in err
    assert "4 answers, 0 missing" in err
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


def _all_but(question: str) -> Callable[[Seen], Says | Hang]:
    return lambda seen: Hang() if seen.question == question else Says("Yes.")
