"""Tasks of lm-evaluation-harness: its requests one by one, and where it is installed tasks of its own form."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import tiny_model
from tests.evals.tasks.conftest import ScriptedChoices, measured, subject, values, write_lines
from tests.loops.tiny import byte_tokenizer
from truing.core.errors import InputError
from truing.core.records import Answer, Conversation, Decoding, Question
from truing.engine.trunk import Trunk
from truing.evals.task import Subject, TaskSettings
from truing.evals.tasks.harness import Requests, harness_task, until
from truing.loops.verbs.benchmark import BenchmarkConfig
from truing.providers.local import LocalSystem


@dataclass
class Request:
    """What the harness asks: the arguments, and which document they belong to."""

    args: tuple[Any, ...]
    doc_id: int = 0


def requests(system: Subject) -> Requests:
    return Requests(system, TaskSettings(max_new_tokens=50), "lm_eval:garden")


def test_continuations_of_one_text_are_one_question_and_come_back_in_their_order() -> None:
    system = subject(lambda context, choice: -float(len(context)) - len(choice) / 100)
    asked = [
        Request(("one", " ab"), 0),
        Request(("three", " a"), 1),
        Request(("one", " abc"), 0),
        Request(("one", " ab"), 2),
    ]
    found = requests(system).loglikelihood(asked)
    assert [value for value, _ in found] == pytest.approx([-3.03, -5.02, -3.04, -3.03])
    choices = system.choices
    assert isinstance(choices, ScriptedChoices)
    assert choices.asked == [
        Question(context="one", choices=(" ab", " abc")),
        Question(context="three", choices=(" a",)),
    ]


def test_spaces_at_a_texts_end_belong_to_the_continuation() -> None:
    system = subject(lambda context, choice: float(context == "one") + float(choice == "  ab") * 2)
    assert [value for value, _ in requests(system).loglikelihood([Request(("one  ", "ab"))])] == [3.0]


def test_a_request_that_cannot_be_scored_makes_its_document_unknown() -> None:
    model = requests(subject(lambda *_: -1.0))
    found = model.loglikelihood([Request(("too long", " a"), 4), Request(("short", " a"), 5)])
    assert [value for value, _ in found] == [0.0, -1.0]
    assert model.unknown == {4: "takes 9 tokens, more than 8"}


def test_a_whole_text_is_scored_behind_the_token_that_begins_texts() -> None:
    """Under a model with even weights every one of its tokens has the same likelihood, the first included."""
    import math

    import torch

    tokenizer = byte_tokenizer()
    trunk = Trunk.of(tiny_model(vocabulary=len(tokenizer)), tokenizer, "tiny")
    with torch.no_grad():
        trunk.model.get_output_embeddings().weight.zero_()
    system = LocalSystem(trunk)
    assert system.start
    model = requests(Subject("tiny", system, system, start=system.start))
    texts = ["a", "four", "x" * 400]
    found = model.loglikelihood_rolling([Request((text,), place) for place, text in enumerate(texts)])
    assert found[:2] == pytest.approx([-math.log(len(tokenizer)), -4 * math.log(len(tokenizer))])
    assert list(model.unknown) == [2]
    assert "more than the model's context of 256" in model.unknown[2]


def test_where_nothing_can_stand_first_a_whole_text_is_unknown() -> None:
    model = requests(subject(lambda *_: -1.0))
    assert model.loglikelihood_rolling([Request(("text",), 3)]) == [0.0]
    assert model.unknown == {3: "nothing can stand before the first token of a text here"}


class Sampler:
    """Answers with the prompt, twice, and its decoding; what begins with `cut` was cut, with `none` is missing."""

    def __init__(self) -> None:
        self.decodings: list[Decoding] = []

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        self.decodings.append(decoding)
        for number, (message,) in enumerate(prompts):
            text = message.content
            yield (
                number,
                Answer(
                    text=f"{text}. {text}",
                    token_ids=(),
                    logprobs=(),
                    finished=not text.startswith("cut"),
                    least_gap=None,
                    missing="an empty reply" if text.startswith("none") else "",
                ),
            )


def test_answers_end_before_the_first_stop_and_have_the_decoding_that_was_asked_for() -> None:
    sampler = Sampler()
    model = requests(Subject("scripted", sampler, None))
    drawn = {"until": ["."], "do_sample": True, "temperature": 0.5, "max_gen_toks": 9}
    asked = [
        Request(("hello", {"until": [".", "lo"]}), 0),
        Request(("cut b", {"until": []}), 1),
        Request(("cut c", {"until": "."}), 2),
        Request(("none", {}), 3),
        Request(("drawn", drawn), 4),
    ]
    assert model.generate_until(asked) == ["hel", "cut b. cut b", "cut c", "none. none", "drawn"]
    assert sampler.decodings == [Decoding(max_new_tokens=50), Decoding(max_new_tokens=9, temperature=0.5)]
    assert (model.unknown, model.cut) == ({3: "an empty reply"}, {1})


@pytest.mark.parametrize(
    ("text", "stops", "left"),
    [("a.b", ["."], "a"), ("a.b", [], "a.b"), ("a.b", ["x", ""], "a.b"), ("a\n.b", [".", "\n"], "a"), (".b", ".", "")],
)
def test_a_text_up_to_its_first_stop(text: str, stops: Any, left: str) -> None:
    assert until(text, stops) == left


def test_without_the_harness_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(InputError, match=r"need lm_eval; run `pip install 'truing\[lm-eval\]'`"):
        harness_task("lm_eval:arc_easy", None)


def test_any_name_behind_the_prefix_may_be_a_task_and_the_library_is_not_looked_into() -> None:
    assert BenchmarkConfig.parse({"tasks": ["lm_eval:anything", "arc_easy"]}, "").tasks == (
        "lm_eval:anything",
        "arc_easy",
    )
    with pytest.raises(InputError, match="there is no task 'arc'"):
        BenchmarkConfig.parse({"tasks": ["arc"]}, "")


GARDEN = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{test: "{rows}"}}
  cache_dir: "{cache}"
test_split: test
output_type: {kind}
doc_to_text: "Q: {{{{question}}}}\\nA:"
{more}
metadata: {{version: 1.0}}
"""
CHOICES = """\
doc_to_choice: "{{choices}}"
doc_to_target: "{{gold}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""
WRITTEN = """\
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["."], max_gen_toks: 60}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


def harness_files(folder: Path, name: str, kind: str, more: str, rows: list[dict[str, Any]]) -> None:
    """A task of the harness's own form below a data folder."""
    pytest.importorskip("lm_eval", reason="the harness is not installed: pip install 'truing[lm-eval]'")
    write_lines(folder / "rows.jsonl", rows)
    told = GARDEN.format(name=name, kind=kind, more=more, rows=folder / "rows.jsonl", cache=folder / "cache")
    (folder / "lm_eval").mkdir()
    (folder / "lm_eval" / f"{name}.yaml").write_text(told, encoding="utf-8")


def row(number: int, question: str, gold: int) -> dict[str, Any]:
    return {"question": question, "choices": ["a", "bbbb"], "gold": gold, "answer": f"yes {number}"}


def test_choices_of_a_task_of_the_harness(tmp_path: Path) -> None:
    """ℓ is −1 of "a" and −2 of "bbbb": summed, a is the likelier; by length, bbbb is. One question cannot be asked."""
    rows = [row(0, "one", 0), row(1, "two", 1), row(2, "too long", 0), row(3, "four", 0)]
    harness_files(tmp_path, "truing_garden", "multiple_choice", CHOICES, rows)
    task = harness_task("lm_eval:truing_garden", tmp_path)
    system = subject(lambda _, choice: -1.0 if choice == " a" else -2.0)
    figures, items = measured(task, tmp_path, system)
    name = "lm_eval:truing_garden"
    assert values(figures) == {f"{name}_acc": pytest.approx(2 / 3), f"{name}_acc_norm": pytest.approx(1 / 3)}
    assert items[f"{name}_acc", "2"].reason == "takes 9 tokens, more than 8"
    assert figures[f"{name}_acc_norm"].unknown == 1
    assert task.asks(None) == Question(context="Q: one\nA:", choices=(" a", " bbbb"))
    some = list(task.run(system, task.read(tmp_path).rows[1::2], TaskSettings()))
    assert {item.item for item in some} == {"1", "3"}
    assert {item.item: item.value for item in some if item.task == f"{name}_acc"} == {"1": 0.0, "3": 1.0}


def test_written_answers_of_a_task_of_the_harness(tmp_path: Path) -> None:
    harness_files(tmp_path, "truing_written", "generate_until", WRITTEN, [row(n, str(n), 0) for n in range(3)])
    task = harness_task("lm_eval:truing_written", tmp_path)
    answers = {"0": "yes 0. And so on", "1": "no", "2": "yes 2"}
    system = subject(answer=lambda prompt: answers[prompt.split()[1]])
    figures, items = measured(task, tmp_path, system)
    assert values(figures) == {"lm_eval:truing_written_exact_match": pytest.approx(2 / 3)}
    assert items["lm_eval:truing_written_exact_match", "0"].answer == "yes 0"


def test_what_the_harness_does_not_have_or_cannot_ask_is_one_sentence(tmp_path: Path) -> None:
    harness_files(
        tmp_path, "truing_greedy", "multiple_choice", CHOICES.replace("acc,", "exact_match,"), [row(0, "a", 0)]
    )
    with pytest.raises(InputError, match="lm-evaluation-harness has no task 'truing_nothing'"):
        harness_task("lm_eval:truing_nothing", tmp_path)
    with pytest.raises(InputError, match="a group, not a task, 'mmlu'"):
        harness_task("lm_eval:mmlu", tmp_path)
    with pytest.raises(
        InputError, match="the figure exact_match of 'truing_greedy' asks whether a text is what a greedy"
    ):
        harness_task("lm_eval:truing_greedy", tmp_path)


def test_its_documents_are_part_of_what_an_evaluation_stands_on(tmp_path: Path) -> None:
    harness_files(tmp_path, "truing_content", "multiple_choice", CHOICES, [row(0, "a", 0)])
    content = harness_task("lm_eval:truing_content", tmp_path).content
    assert content is not None
    (said,) = content()
    assert said == "truing_content, 1 documents"
    assert json.dumps(content())
