"""ls, show, trace, diff, verify: what they print is what the ledger holds, for people and as JSON."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from truing.cli.app import main
from truing.ledger.artifacts import Artifact, Parent
from truing.ledger.ledger import Ledger

VERBS = ("ls", "show", "trace", "diff", "verify", "gc")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path / ".truing")


@pytest.fixture
def made(ledger: Ledger) -> dict[str, Artifact]:
    """data → tuned and other (another learning rate) → an evaluation of each; one setting looks like rich's markup."""

    def make(name: str, kind: str, file: str, parents: list[Parent], **settings: Any) -> Artifact:
        with ledger.begin() as staging:
            (staging / "rows.jsonl").write_text(file, encoding="utf-8")
            given = {"config": {}, "metrics": {}, "rows": [], **settings}
            return ledger.commit(
                staging, kind=kind, verb=f"make-{kind}", verb_version=1, name=name, parents=parents, seed=7, **given
            )

    lines = [{"id": "r1", "origin": "hospital"}, {"id": "r2", "annotator": "ann"}, {"id": "r3"}]
    rows = [("r1", "1" * 64), ("r2", "2" * 64), ("r3", "3" * 64)]
    data = make("data", "dataset", "".join(json.dumps(line) + "\n" for line in lines), [], rows=rows)
    result = {"data": data}
    for name, rate, score in (("tuned", 0.1, 0.5), ("other", 0.2, None)):
        parent = [Parent(role="data", artifact=data.id)]
        config = {"lr": rate, "note": "[/odd] [red]text"}
        result[name] = make(name, "adapter", name, parent, config=config)
        parent = [Parent(role="adapter", artifact=result[name].id)]
        result[f"of-{name}"] = make(f"of-{name}", "evaluation", name, parent, metrics={"score": score})
    return result


@pytest.fixture
def run(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("COLUMNS", "250")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["truing", "--ledger", str(ledger.root), *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return call


def test_ls_lists_what_there_is_newest_first(run: Run, made: dict[str, Artifact]) -> None:
    code, out, _ = run("ls")
    assert code == 0
    assert [artifact.short in out for artifact in made.values()] == [True] * 5
    assert out.index("of-other") < out.index("of-tuned") < out.index("data")
    assert "score unknown" in out
    _, out, _ = run("ls", "--kind", "dataset", "--json")
    assert [entry["id"] for entry in json.loads(out)] == [made["data"].id]


def test_show_prints_every_setting_as_it_is(run: Run, ledger: Ledger, made: dict[str, Artifact]) -> None:
    tuned = made["tuned"]
    code, out, _ = run("show", "tuned")
    assert code == 0
    assert "[/odd] [red]text" in out
    for expected in (tuned.id, f"data {made['data'].short}", tuned.files[0].sha256[:12], "seed 7", tuned.code_version):
        assert expected in out
    _, out, _ = run("show", tuned.short, "--json")
    shown = json.loads(out)
    assert Path(shown.pop("folder")) == ledger.folder(tuned)
    assert Artifact.model_validate(shown) == tuned


def test_trace_draws_all_that_is_behind_an_artifact(run: Run, made: dict[str, Artifact]) -> None:
    code, out, _ = run("trace", "of-tuned")
    assert code == 0
    assert out.index("of-tuned") < out.index("adapter ←") < out.index("data ←") < out.index("3 rows")
    assert made["other"].short not in out
    for name in ("of-tuned", "tuned", "data"):
        (line,) = (line for line in out.splitlines() if made[name].short in line)
        when = made[name].created.astimezone().strftime("%Y-%m-%d %H:%M")
        for expected in (made[name].kind, made[name].verb, "seed 7", when, made[name].code_version):
            assert expected in line


def test_trace_reaches_single_rows_and_where_they_came_from(run: Run, made: dict[str, Artifact]) -> None:
    _, out, _ = run("trace", "of-tuned", "--rows")
    for row, origin in (("r1 111111111111", "hospital"), ("r2 222222222222", "ann"), ("r3 333333333333", "unknown")):
        (line,) = (line for line in out.splitlines() if row in line)
        assert origin in line
    _, out, _ = run("trace", "of-tuned", "--rows", "--json")
    data = json.loads(out)["parents"][0]["parents"][0]
    assert data["artifact"]["id"] == made["data"].id
    assert data["rows"] == [
        {"id": "r1", "sha256": "1" * 64, "origin": "hospital", "annotator": None},
        {"id": "r2", "sha256": "2" * 64, "origin": None, "annotator": "ann"},
        {"id": "r3", "sha256": "3" * 64, "origin": None, "annotator": None},
    ]


@pytest.mark.parametrize("reference", ["r2", "2" * 12])
def test_trace_of_a_row_lists_what_it_reached(run: Run, made: dict[str, Artifact], reference: str) -> None:
    code, out, _ = run("trace", reference)
    assert code == 0
    assert "reached 5 artifacts" in out
    assert [line for line in out.splitlines() if "(holds it)" in line] == [
        f"  {made['data'].short}  data  dataset (holds it)"
    ]
    _, out, _ = run("trace", reference, "--json")
    assert {entry["id"] for entry in json.loads(out)} == {artifact.id for artifact in made.values()}


def test_a_row_reaches_children_whose_parent_was_used_again_since(
    run: Run, ledger: Ledger, made: dict[str, Artifact]
) -> None:
    for name in ("tuned", "data"):
        ledger.touch(made[name])
    assert [entry["name"] for entry in json.loads(run("ls", "--json")[1])][:2] == ["data", "tuned"]
    assert "reached 5 artifacts" in run("trace", "r2")[1]


def test_diff_shows_the_one_assumption_beside_its_effect(run: Run, made: dict[str, Artifact]) -> None:
    code, out, _ = run("diff", "of-tuned", "of-other", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["inputs"] == [{"where": "adapter.config.lr", "a": "0.1", "b": "0.2"}]
    assert found["results"] == [{"where": "score", "a": "0.5", "b": "unknown"}]
    _, out, _ = run("diff", "of-tuned", "of-other")
    assert "adapter.config.lr" in out
    assert "do not differ" in run("diff", "tuned", made["tuned"].short)[1]


def test_verify_says_all_well_and_then_names_the_damage(run: Run, ledger: Ledger, made: dict[str, Artifact]) -> None:
    assert run("verify")[:2] == (0, "5 artifacts checked, all well\n")
    assert json.loads(run("verify", "--json")[1]) == []
    (ledger.folder(made["data"]) / "rows.jsonl").write_text("forged", encoding="utf-8")
    code, out, _ = run("verify")
    assert code == 3
    assert f"{made['data'].short}: the file rows.jsonl was changed" in out
    code, out, _ = run("verify", "--json")
    assert code == 3
    assert [problem["artifact"] for problem in json.loads(out)] == [made["data"].id]


@pytest.mark.parametrize("name", ["[/]", "[red]", "[/nothing]"])
def test_names_that_look_like_markup_are_printed_as_they_are(run: Run, ledger: Ledger, name: str) -> None:
    for content in ("a", "b"):
        with ledger.begin() as staging:
            (staging / "f").write_text(content)
            ledger.commit(
                staging, kind=name, verb=name, verb_version=1, name=name, config={name: content}, parents=[], seed=0,
                metrics={name: name}, rows=[(name, "0" * 64)],
            )  # fmt: skip
    for words in (["ls"], ["show", name], ["trace", name, "--rows"]):
        code, out, err = run(*words)
        assert (code, err) == (0, "")
        assert out.count(name) >= 3, words
    code, out, err = run("diff", name, ledger.list()[1].id)
    assert (code, err) == (0, "")
    assert f"config.{name}" in out
    assert out.count(f" {name} ") >= 1  # the column's heading, as the user named the artifact


@pytest.mark.parametrize("words", [["show", "tunde"], ["trace", "tunde"], ["diff", "tuned", "tunde"]])
def test_a_wrong_name_is_one_sentence_with_the_nearest(run: Run, made: dict[str, Artifact], words: list[str]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert "tuned" in made
    assert err.startswith("truing: the ledger has no artifact 'tunde'; did you mean tuned")
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["ls"], ["show", "x"], ["trace", "x"], ["diff", "x", "y"], ["verify"]])
def test_without_a_ledger_every_verb_says_so_and_makes_none(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRUING_LEDGER", str(tmp_path / "absent"))
    monkeypatch.setattr(sys, "argv", ["truing", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "there is no ledger here" in capsys.readouterr().err
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example_and_offers_json(run: Run, verb: str) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert f"Example: truing {verb}" in out
    assert "--json" in out


def test_the_verbs_import_nothing_heavy(ledger: Ledger) -> None:
    program = (
        "import sys; from truing.cli.app import app\n"
        f"app(['--ledger', {str(ledger.root)!r}, 'ls'], standalone_mode=False)\n"
        "sys.exit(', '.join({'torch', 'transformers', 'peft'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
