"""A judged answer belongs to its own probe; what the judge cannot read is unknown and never a no."""

from tests.providers.conftest import Scripted, ask
from truing.core.records import Answer, Conversation, Decoding, Outcome, Probe
from truing.evals.tasks.answers import AnswerTask, judged
from truing.judges.refusal import RefusalJudge


class EchoJudge:
    """Yes where the answer names its own prompt, no where not, unknown where the answer is empty."""

    version = "echo"

    def judge(self, prompt: Conversation, answer: str) -> Outcome:
        if not answer:
            return Outcome(value=None, reason="nothing")
        return Outcome(value=float(prompt[-1].content in answer), reason=f"read {answer!r}")


def probe(number: int, group: str = "mine", topic: str = "t") -> Probe:
    return Probe(id=str(number), group=group, topic=topic, prompt=ask(f"q{number}"))


def test_each_answer_is_judged_with_its_own_prompt_in_whatever_order_they_finish() -> None:
    probes = [probe(1), probe(2, group="other"), probe(3), probe(4)]
    items = list(AnswerTask("echo", "mine", EchoJudge()).run(Scripted(), probes, Decoding()))
    assert [(item.item, item.value) for item in items] == [("4", 1.0), ("3", 1.0), ("1", 1.0)]
    assert (items[0].prompt, items[0].answer) == ("q4", "answer to q4")
    assert items[0].reason == "read 'answer to q4'"
    assert {item.task for item in items} == {"echo"}


def test_a_wrong_pairing_would_be_seen() -> None:
    """The negative control: answers that belong to another prompt are all judged no."""
    crossed = Scripted(answer={"q1": "q2", "q2": "q1"}.__getitem__)
    items = AnswerTask("echo", "mine", EchoJudge()).run(crossed, [probe(1), probe(2)], Decoding())
    assert [item.value for item in items] == [0.0, 0.0]


def test_an_answer_that_is_missing_is_unknown_even_where_its_text_reads_like_one() -> None:
    cut_off = Answer(text="I name q1", token_ids=(), logprobs=(), finished=None, least_gap=None, missing="filtered")
    item = judged("echo", probe(1), cut_off, EchoJudge())
    assert (item.value, item.reason) == (None, "filtered")
    assert (item.answer, item.finished) == ("", None)  # nothing that reads items later can judge it either
    assert judged("echo", probe(1), cut_off.model_copy(update={"missing": ""}), EchoJudge()).value == 1.0


def test_what_cannot_be_judged_is_unknown() -> None:
    (item,) = AnswerTask("echo", "mine", EchoJudge()).run(Scripted(answer=lambda _: ""), [probe(1)], Decoding())
    assert (item.value, item.reason) == (None, "nothing")
    (item,) = AnswerTask("r", "mine", RefusalJudge()).run(Scripted(answer=lambda _: " … "), [probe(1)], Decoding())
    assert item.value is None


def test_no_probe_of_the_group_no_question_asked() -> None:
    system = Scripted()
    assert list(AnswerTask("echo", "mine", EchoJudge()).run(system, [probe(1, group="other")], Decoding())) == []
    assert system.asked == []


def test_items_of_a_topic_are_one_cluster_and_an_item_without_one_is_its_own() -> None:
    probes = [probe(1, topic="a"), probe(2, topic="a"), probe(3, topic=""), probe(4, topic="")]
    items = AnswerTask("echo", "mine", EchoJudge()).run(Scripted(), probes, Decoding())
    assert {item.item: item.cluster for item in items} == {"1": "a", "2": "a", "3": "3", "4": "4"}
