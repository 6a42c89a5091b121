"""Messages ↔ tokens: the only place that knows a chat template.

A prompt and its answer are tokenised apart, so that the prompt's tokens never depend on the answer. The end-of-turn
token is part of every encoded answer (it must be learned); what the template appends after it (a newline, say) is not.
"""

from collections.abc import Sequence
from typing import Any

from truing.core.errors import InputError
from truing.core.records import Conversation, Message
from truing.engine.tree import TokenSequence

_MARK = "truing-mark"


class Chat:
    """A tokenizer's chat template, checked once: prompts are prefixes of dialogues, and turns end in a known token."""

    def __init__(self, tokenizer: Any, context: int, system_prompt: str | None = None) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise InputError("the model's tokenizer has no chat template, so it cannot be used as a chat model")
        self.tokenizer = tokenizer
        self.context = context
        self.system_prompt = system_prompt
        self.end_id = self._end_of_turn()

    def render(self, conversation: Conversation, answer: str | None = None) -> str:
        """The template's text of a conversation, ready for an answer, or with it."""
        messages = [message.model_dump() for message in conversation]
        if self.system_prompt is not None and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": self.system_prompt})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        text: str = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer is None)
        return text

    def prompt_ids(self, conversation: Conversation) -> tuple[int, ...]:
        """The tokens of a conversation up to where the assistant's answer begins."""
        return self._ids(self.render(conversation))

    def answer_ids(self, answer: str) -> tuple[int, ...]:
        """The tokens of an answer, end of turn included."""
        return (*self._ids(answer), self.end_id)

    def sequence(self, conversation: Conversation, answer: str) -> TokenSequence:
        """Prompt and answer as one sequence whose answer is scored.

        Raises `InputError` if the prompt's tokens are not a prefix of the template's own rendering of the whole
        dialogue (the template rewrites earlier turns, or the answer's first characters merge with the prompt's last),
        or if the whole is longer than the model's context: nothing is ever truncated.
        """
        prompt, answer_part = self.prompt_ids(conversation), self.answer_ids(answer)
        whole = self._ids(self.render(conversation, answer))
        if whole[: len(prompt)] != prompt:
            raise InputError(
                f"the chat template changes the prompt's tokens once the answer {_shortened(answer)} follows; "
                "use another template, or an answer that does not begin with whitespace"
            )
        if len(prompt) + len(answer_part) > self.context:
            raise InputError(
                f"prompt and answer {_shortened(answer)} take {len(prompt) + len(answer_part)} tokens, more than "
                f"the model's context of {self.context}; shorten the row or leave it out"
            )
        return TokenSequence(prompt + answer_part, scored_from=len(prompt))

    def text(self, token_ids: Sequence[int]) -> str:
        """The text of an answer's tokens, without special tokens."""
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _end_of_turn(self) -> int:
        """The first token that the template puts after an assistant's text."""
        question = (Message(role="user", content="?"),)
        prompt, whole = self.render(question), self.render(question, _MARK)
        if not whole.startswith(prompt + _MARK):
            raise InputError(
                "the chat template rewrites a prompt once an answer follows it; such templates are not supported"
            )
        after = self._ids(whole[len(prompt) + len(_MARK) :])
        if not after:
            raise InputError("the chat template puts nothing after an answer, so its end could never be learned")
        return after[0]


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
