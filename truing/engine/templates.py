"""Chat templates for tokenizers that bring none: two of our own, or a Jinja file.

`chatml` is the form of many chat models (its markers must be tokens of the tokenizer); `plain` needs nothing but an end
token and suits base models. Both are written here from the formats' descriptions.
"""

from pathlib import Path

from truing.core.errors import InputError

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLAIN = (
    "{% if bos_token %}{{ bos_token }}{% endif %}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
    "{% elif message['role'] == 'user' %}User:\n{{ message['content'] }}\n\n"
    "{% else %}Assistant:\n{{ message['content'] }}{{ eos_token }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:\n{% endif %}"
)
BUILT_IN = {"chatml": CHATML, "plain": PLAIN}


def template_text(name: str) -> str:
    """The Jinja text of a built-in template or of a file. Raises `InputError` naming what there is."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"template {name!r}: neither one of {', '.join(BUILT_IN)} nor a Jinja file that can be read "
            f"({error.strerror}); check the path"
        ) from None
