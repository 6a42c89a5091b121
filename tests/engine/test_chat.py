"""Chat templates as models have them: what is scored, what is handled, and what is refused in one sentence."""

from typing import Any

import pytest

from tests.loops.tiny import TEMPLATE, byte_tokenizer
from truing.core.errors import InputError
from truing.core.records import Conversation, Message
from truing.engine.chat import Chat
from truing.engine.templates import CHATML, PLAIN, template_text

ASKED: Conversation = (Message(role="user", content="How?"),)
TALK: Conversation = (*ASKED, Message(role="assistant", content="So."), Message(role="user", content="Why?"))
TURN = "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
GENERATE = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
# As Qwen 3's: the last answer gets an empty thinking block, earlier ones none.
THINKING = (
    "{% for message in messages %}{% if message['role'] == 'assistant' and loop.last %}"
    "{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' + message['content'].split('</think>')[-1] + '<|im_end|>\n' }}"
    "{% else %}" + TURN + "{% endif %}{% endfor %}" + GENERATE
)
TRIMMING = (
    "{% for message in messages %}" + TURN.replace("['content']", "['content'] | trim") + "{% endfor %}" + GENERATE
)
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}" + TURN + "{% endfor %}" + GENERATE
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}" + TURN + "{% endfor %}" + GENERATE
)
# As Llama 2's: a space on both sides of the answer, and no header for the answer to come.
SPACED = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[Q] ' + message['content'] + ' [A]' }}"
    "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)


def chat(template: str, **options: Any) -> Chat:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    return Chat(tokenizer, context=512, **options)


def told(of: Chat, conversation: Conversation, answer: str) -> tuple[str, str]:
    """The prompt's text and the scored text."""
    sequence = of.sequence(conversation, answer)
    ids, start = list(sequence.ids), sequence.scored_from
    return of.tokenizer.decode(ids[:start]), of.tokenizer.decode(ids[start:])


def test_the_end_of_turn_is_scored_and_the_newline_after_it_only_on_demand() -> None:
    assert told(chat(TEMPLATE), ASKED, "Thus.")[1] == "Thus.<|im_end|>"
    assert told(chat(TEMPLATE, score_tail=True), ASKED, "Thus.")[1] == "Thus.<|im_end|>\n"


def test_with_the_tail_prompt_and_answer_are_the_templates_whole_text() -> None:
    """What TRL trains on: the tokens of the whole dialogue, less those of the prompt."""
    of = chat(TEMPLATE, score_tail=True)
    messages = [*(message.model_dump() for message in TALK), {"role": "assistant", "content": "Thus."}]
    whole = of.tokenizer.apply_chat_template(messages, tokenize=False)
    assert list(of.sequence(TALK, "Thus.").ids) == of.tokenizer(whole, add_special_tokens=False)["input_ids"]


def test_a_thinking_block_before_the_last_answer_belongs_to_the_prompt() -> None:
    prompt, answer = told(chat(THINKING), TALK, "Thus.")
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert prompt.count("<think>") == 1
    assert answer == "Thus.<|im_end|>"
    assert chat(THINKING).render(ASKED).endswith("</think>\n\n")


def test_an_answer_that_the_template_rewrites_is_refused() -> None:
    with pytest.raises(InputError, match=r"rewrites the prompt or the answer 'hm</think>Thus.'"):
        chat(THINKING).sequence(ASKED, "hm</think>Thus.")


def test_an_answer_is_scored_as_a_trimming_template_shows_it() -> None:
    assert told(chat(TRIMMING), ASKED, "  Thus.\n")[1] == "Thus.<|im_end|>"
    assert told(chat(TEMPLATE), ASKED, "Thus.\n")[1] == "Thus.\n<|im_end|>"


def test_a_default_system_prompt_stays_and_gives_way() -> None:
    assert told(chat(DEFAULT_SYSTEM), ASKED, "Thus.")[0].startswith("<|im_start|>system\nBe kind.<|im_end|>\n")
    own = told(chat(DEFAULT_SYSTEM, system_prompt="Be brief."), ASKED, "Thus.")[0]
    assert own.startswith("<|im_start|>system\nBe brief.<|im_end|>\n")
    assert "kind" not in own


def test_a_template_without_system_prompts_refuses_one_in_a_sentence() -> None:
    assert told(chat(NO_SYSTEM), ASKED, "Thus.")[1] == "Thus.<|im_end|>"
    with pytest.raises(InputError, match=r"refuses a conversation of system, user .System role not supported."):
        chat(NO_SYSTEM, system_prompt="Be brief.").render(ASKED)


def test_spaces_around_an_answer_go_to_the_prompt_and_to_the_end_of_turn() -> None:
    of = chat(SPACED)
    assert told(of, ASKED, "Thus.") == ("[Q] How? [A] ", "Thus. <|im_end|>")
    assert of.end_id == of.tokenizer.eos_token_id


def test_a_base_model_is_refused_until_a_template_is_named() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(InputError, match=r"no chat template.*: chatml, plain, or a Jinja file"):
        Chat(tokenizer, context=512)
    tokenizer.chat_template = PLAIN
    assert told(Chat(tokenizer, 512), TALK, "Thus.") == (
        "User:\nHow?\n\nAssistant:\nSo.<|im_end|>\n\nUser:\nWhy?\n\nAssistant:\n",
        "Thus.<|im_end|>",
    )
    tokenizer.chat_template = CHATML
    assert told(Chat(tokenizer, 512), ASKED, "Thus.")[1] == "Thus.<|im_end|>"


@pytest.mark.parametrize("end", ["\n", "<|end|>"])
def test_an_end_of_turn_that_is_ordinary_text_is_refused(end: str) -> None:
    with pytest.raises(InputError, match="ordinary text for this tokenizer"):
        chat(
            "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '" + end + "' }}{% endfor %}"
        )


def test_templates_are_built_in_or_files(tmp_path: Any) -> None:
    (tmp_path / "mine.jinja").write_text(TRIMMING, encoding="utf-8")
    assert template_text(str(tmp_path / "mine.jinja")) == TRIMMING
    assert template_text("chatml") == CHATML
    with pytest.raises(InputError, match="neither one of chatml, plain nor a Jinja file"):
        template_text("chatlm")
