"""The verb `dataset`: topics are held out whole, twins stay together, probes near the training rows are refused."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.cli.run import execute, prepare
from truing.core.errors import InputError
from truing.core.records import Comparison, Message
from truing.data import native
from truing.data.split import by_topics
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops.verbs.dataset import IMPORT, IMPORTED, fewer_benign, keep_some, read_rows


def row(number: int, topic: str = "", pair: str | None = None, question: str = "Why {}?") -> Comparison:
    prompt = (Message(role="user", content=question.format(number)),)
    return Comparison(id=f"r{number}", prompt=prompt, chosen="Yes.", rejected="No.", topic=topic, pair=pair)


topics = st.lists(st.sampled_from(["", "eggs", "rice", "tea", "bread"]), min_size=1, max_size=40)
seeds = st.integers(0, 1000)


@given(topics, st.floats(0, 0.99), seeds)
def test_a_topic_is_held_out_whole_or_not_at_all(names: list[str], share: float, seed: int) -> None:
    rows = [row(number, topic) for number, topic in enumerate(names)]
    train, held_out = by_topics(rows, share, seed)
    assert sorted(train + held_out, key=rows.index) == rows
    assert not {one.topic for one in train if one.topic} & {one.topic for one in held_out if one.topic}
    # Enough, and no more than the last topic made it.
    by_topic = defaultdict(list)
    for one in held_out:
        by_topic[one.topic or one.id].append(one)
    assert len(held_out) >= share * len(rows)
    assert not held_out or len(held_out) - max(map(len, by_topic.values())) < share * len(rows)


def test_another_seed_holds_out_other_topics() -> None:
    rows = [row(number, f"topic {number}") for number in range(50)]
    held = [tuple(one.id for one in by_topics(rows, 0.2, seed)[1]) for seed in (0, 0, 1)]
    assert held[0] == held[1] != held[2]


@given(st.lists(st.sampled_from([None, "a", "b", "c", "d"]), min_size=1, max_size=40), st.integers(1, 40), seeds)
def test_a_limit_keeps_twins_together_and_the_order(pairs: list[str | None], limit: int, seed: int) -> None:
    rows = [row(number, pair=pair) for number, pair in enumerate(pairs)]
    kept = keep_some(rows, limit, seed)
    assert kept == [one for one in rows if one in kept]
    for pair in {one.pair for one in rows} - {None}:
        twins = [one for one in rows if one.pair == pair]
        assert sum(one in kept for one in twins) in (0, len(twins))
    assert len(kept) >= min(limit, len(rows))
    assert len(kept) < limit + max(1, *(pairs.count(pair) for pair in "abcd"))


tenths = st.integers(0, 10).map(lambda number: number / 10)


@given(st.lists(st.sampled_from(["benign_twin", "harmful", ""]), min_size=20, max_size=40), tenths, tenths, seeds)
def test_a_smaller_share_of_benign_twins_is_part_of_a_larger_one(
    groups: list[str], share: float, other: float, seed: int
) -> None:
    rows = [row(number).model_copy(update={"group": group}) for number, group in enumerate(groups)]
    smaller, larger = (fewer_benign(rows, one, seed) for one in sorted((share, other)))
    assert [one for one in larger if one in smaller] == smaller
    assert [one for one in smaller if one.group != "benign_twin"] == [one for one in rows if one.group != "benign_twin"]
    assert len(rows) - len(smaller) == groups.count("benign_twin") - round(
        min(share, other) * groups.count("benign_twin")
    )
    assert fewer_benign(rows, 1.0, seed) == rows


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs one dataset step over rows.jsonl in a fresh folder."""
    monkeypatch.chdir(tmp_path)
    write(Path("rows.jsonl"), [row(number, f"topic {number // 2}") for number in range(8)])

    def run(**settings: Any) -> Artifact:
        table = {"verb": "dataset", "source": "rows.jsonl", "probes": "", **settings}
        values = {"seed": 3, "data": {key: value for key, value in table.items() if value is not None}}
        recipe, context = prepare(values, "recipe", tmp_path / ".truing")
        from rich.console import Console

        return execute(recipe, context, Console(), quiet=True)["data"].artifact

    return run


def write(path: Path, rows: list[Comparison]) -> None:
    path.write_text("".join(native.line(one) + "\n" for one in rows), encoding="utf-8")


def probes(path: str, *texts: str, topic: str = "elsewhere") -> str:
    lines = [
        {"id": f"p{number}", "group": "harmful", "topic": topic, "prompt": text} for number, text in enumerate(texts)
    ]
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_artifact_holds_the_split_and_says_so(make: Any, tmp_path: Path) -> None:
    artifact = make(held_out=0.25)
    folder = Ledger.open(tmp_path / ".truing").folder(artifact)
    train, held_out = read_rows(folder, "train"), read_rows(folder, "held_out")
    assert (len(train), len(held_out)) == (6, 2)
    assert held_out[0].topic == held_out[1].topic
    assert {name: artifact.metrics[name] for name in ("rows", "train", "held_out", "probes")} == {
        "rows": 8,
        "train": 6,
        "held_out": 2,
        "probes": 0,
    }
    rows = Ledger.open(tmp_path / ".truing").rows(artifact)
    assert rows == [(one.id, one.sha256) for one in (row(number, f"topic {number // 2}") for number in range(8))]


@pytest.mark.parametrize(
    ("leak", "topic", "message"),
    [
        ("Tell me of the sea.", "topic 1", "topics: topic 1"),
        ("Why 3? I ask.", "elsewhere", "frames: why 3 i"),
        ("Pray tell: how do cats purr at night?", "elsewhere", "probes too near: p1"),
    ],
)
def test_a_leak_between_probes_and_rows_is_refused_by_name_and_nothing_is_made(
    make: Any, tmp_path: Path, leak: str, topic: str, message: str
) -> None:
    rows = [row(number, f"topic {number}", question="Why {}? I wonder.") for number in range(4)]
    rows.append(row(9, "cats", question="Oh, how do cats purr at night?"))
    rows[3] = row(3, "topic 3", question="Why {}? I ask.")
    write(Path("rows.jsonl"), rows)
    assert make(probes=probes("clean.jsonl", "Describe the moon.", "Sing a song."), held_out=0.0).metrics["probes"] == 2
    with pytest.raises(InputError, match=f"not held out from training .*{message}"):
        make(probes=probes("leaking.jsonl", "Describe the moon.", leak, topic=topic))
    assert len(Ledger.open(tmp_path / ".truing").list()) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "absent.jsonl"}, r'\[data\] source = "absent.jsonl": there is no such file; give the path'),
        ({"source": "."}, r'\[data\] source = ".": there is no such file'),
        (
            {"probes": "absent.jsonl"},
            r'\[data\] probes = "absent.jsonl": there is no such file; .* of probes, or "starter"',
        ),
        ({"source": None}, r"\[data\] needs either source"),
    ],
)
def test_a_missing_file_is_named_with_what_to_do(
    make: Any, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        make(**settings)
    assert not (tmp_path / ".truing").exists()


def test_bad_rows_are_counted_and_the_first_is_named(make: Any) -> None:
    Path("rows.jsonl").write_text(native.line(row(1)) + '\n{"prompt": "?"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"rows\.jsonl: 1 bad row, the first in line 2"):
        make()


def test_imported_rows_are_the_source_and_the_step_stands_on_them(make: Any, tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / ".truing")
    with ledger.begin() as staging:
        write(staging / IMPORTED, [row(number, pair="twins") for number in (1, 2)])
        inputs: dict[str, Any] = {"verb": "data import", "verb_version": 1, "config": {}, "parents": [], "seed": None}
        imported = ledger.commit(staging, kind=IMPORT, name="mine", **inputs)
    made = make(source=None, imported="ledger:mine", held_out=0.0)
    assert [parent.artifact for parent in made.parents] == [imported.id]
    assert [one.id for one in read_rows(ledger.folder(made), "train")] == ["r1", "r2"]
    with pytest.raises(InputError, match=r"\[data\] needs either source .* not both"):
        make(imported="ledger:mine")
    with pytest.raises(InputError, match="'ledger:data' is of the kind 'dataset', expected the kind 'import'"):
        make(source=None, imported="ledger:data")


def test_a_fixed_split_by_content_holds_out_so_many_rows_whatever_the_seed(make: Any, tmp_path: Path) -> None:
    write(Path("rows.jsonl"), [row(number) for number in range(40)])
    ledger = Ledger.open(tmp_path / ".truing")
    made = [make(held_out=12, split="content", limit=limit) for limit in (None, 40)]
    held = [[one.id for one in read_rows(ledger.folder(one), "held_out")] for one in made]
    assert held[0] == held[1]
    assert len(held[0]) == 12
    assert make(held_out=13).metrics["held_out"] == 13
    with pytest.raises(InputError, match="held_out = 41: there are only 40 rows"):
        make(held_out=41)
    with pytest.raises(InputError, match=r"'held_out' is 1.5: must be a share below 1, or a whole number of rows"):
        make(held_out=1.5)


def test_fewer_benign_twins_leave_the_split_as_it_is_and_the_lineage_without_them(make: Any, tmp_path: Path) -> None:
    rows = [row(n, f"topic {n // 2}", pair=f"p{n // 2}") for n in range(24)]
    rows = [one.model_copy(update={"group": ("harmful", "benign_twin")[n % 2]}) for n, one in enumerate(rows)]
    write(Path("rows.jsonl"), rows)
    ledger = Ledger.open(tmp_path / ".truing")
    found = {share: make(benign_twins=share, held_out=0.25) for share in (1.0, 0.5, 0.0)}
    parts = {
        share: {name: {one.id for one in read_rows(ledger.folder(made), name)} for name in ("train", "held_out")}
        for share, made in found.items()
    }
    assert [len(parts[share]["train"]) for share in found] == [18, 9 + 4, 9]  # half of nine is rounded to the even four
    assert parts[0.0]["train"] < parts[0.5]["train"] < parts[1.0]["train"]
    assert parts[0.0]["held_out"] == parts[0.5]["held_out"] == parts[1.0]["held_out"]
    for share, made in found.items():
        assert {name for name, _ in ledger.rows(made)} == parts[share]["train"] | parts[share]["held_out"]
        assert made.metrics["rows"] == len(ledger.rows(made))


def test_held_out_rows_can_be_the_probes(make: Any, tmp_path: Path) -> None:
    rows = [row(number) for number in range(10)]
    write(Path("rows.jsonl"), [*rows[:-1], rows[-1].model_copy(update={"tie": True})])
    artifact = make(held_out=9, split="content", probes="held_out")
    folder = Ledger.open(tmp_path / ".truing").folder(artifact)
    held = [one for one in read_rows(folder, "held_out") if not one.tie]
    found = native.read_probes(folder / "probes.jsonl")
    assert [(one.id, one.group, one.prompt, one.chosen, one.rejected) for one in found] == [
        (one.id, "held_out", one.prompt, one.chosen, one.rejected) for one in held
    ]
    assert not (folder / "overlap.json").exists()


def test_duplicates_and_leaks_are_counted_and_listed(make: Any, tmp_path: Path) -> None:
    long = "How do I keep my garden green in a dry summer without a single drop of water from the well"
    write(
        Path("rows.jsonl"), [row(n, f"t{n}", question=f"{long}{' now' * (n % 2)}") for n in range(2)] + [row(5, "t5")]
    )
    artifact = make(held_out=2)
    assert (artifact.metrics["duplicates"], artifact.metrics["held_out_leaks"]) == (1, 1)
    folder = Ledger.open(tmp_path / ".truing").folder(artifact)
    found = json.loads((folder / "duplicates.json").read_text())
    assert found["duplicates"][0]["rows"] == ["r0", "r1"]
    assert {found["leaks"][0]["held_out"], found["leaks"][0]["training"]} == {"r0", "r1"}


def test_a_source_may_be_of_any_format_with_columns(make: Any) -> None:
    Path("rows.csv").write_text("question,better,worse\nWhy?,So.,No.\nHow?,Thus.,No.\n")
    columns = {"prompt": "question", "chosen": "better", "rejected": "worse"}
    assert make(source="rows.csv", columns=columns, held_out=0.0).metrics["rows"] == 2
    Path("scores.json").write_text('[{"prompt": "q", "completions": ["a", "b", "c"], "scores": [1, 2, 3]}]')
    assert make(source="scores.json", pairs="all", format="scores", held_out=0.0).metrics["rows"] == 3


def test_rows_apart_from_a_dataset_share_nothing_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ours = [row(0, "eggs"), row(1, pair="p"), row(2)]
    write(Path("ours.jsonl"), ours)
    again = row(2).model_copy(update={"id": "the same prompt", "chosen": "Perhaps."})
    kin = [row(3, "eggs"), row(4, pair="p"), again]
    strangers = [row(5, "tea"), row(6, pair="q"), row(7)]
    write(Path("all.jsonl"), [*kin, *strangers])
    plain = {"verb": "dataset", "probes": "", "held_out": 1, "split": "content"}
    values = {
        "ours": {**plain, "source": "ours.jsonl"},
        "others": {**plain, "source": "all.jsonl", "apart_from": "ours"},
    }
    recipe, context = prepare(values, "recipe", tmp_path / ".truing")
    from rich.console import Console

    done = execute(recipe, context, Console(), quiet=True)
    folder = context.ledger.folder(done["others"].artifact)
    kept = [one.id for part in ("train", "held_out") for one in read_rows(folder, part)]
    assert sorted(kept) == ["r5", "r6", "r7"]
    write(Path("all.jsonl"), kin)
    recipe, context = prepare(values, "recipe", tmp_path / ".truing")
    with pytest.raises(InputError, match="apart_from: each of the 3 rows shares its prompt, pair or topic"):
        execute(recipe, context, Console(), quiet=True)
