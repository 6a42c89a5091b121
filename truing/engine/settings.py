"""Which model, and how it is loaded: what a recipe says under `model`. Imports no torch."""

from typing import Literal

from truing.core.config import Config
from truing.core.digest import digest
from truing.engine.templates import template_text


class ModelConfig(Config):
    """`name`: smollm2-135m, hf:OWNER/NAME, a folder, or a GGUF file. `dtype` and `device` of its weights. `template`:
    a chat template instead of the tokenizer's own: chatml, plain, or a Jinja file."""

    name: str = "smollm2-135m"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"
    template: str | None = None

    def identity(self, sha256: str) -> dict[str, str]:
        """What a step's key holds of it: the weights' hash, and each setting that is not the default (a template by its
        text)."""
        changed = {
            f"model_{key}": value for key, value in self.model_dump(exclude_defaults=True).items() if key != "name"
        }
        if self.template is not None:
            changed["model_template"] = digest(template_text(self.template))
        return {"model": self.name, "model_sha256": sha256, **changed}
