"""truing: align a language model with what people want of it, show that it did, and keep it there.

The names below are the library's front door: docs/api.md shows each of them at work. They are imported when first used,
so that `import truing` is cheap and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truing.core.records import Comparison, Decoding, Message, Probe
    from truing.engine.adapters import AdapterConfig, load_adapter, save_adapter
    from truing.engine.chat import Chat
    from truing.engine.score import score_forest
    from truing.engine.tree import TokenSequence, build_forest
    from truing.engine.trunk import Trunk
    from truing.evals.compare import compare
    from truing.evals.gate import GateConfig
    from truing.evals.gate import decide as gate
    from truing.evals.run import METRICS, evaluate
    from truing.ledger.ledger import Ledger
    from truing.loops.api import run_recipe
    from truing.providers.local import LocalSystem
    from truing.train.preference import PreferenceConfig, train_preference
    from truing.train.sft import SFTConfig, train_sft

__version__ = "0.1.0"

_HOMES = {
    "METRICS": "evals.run",
    "AdapterConfig": "engine.adapters",
    "Chat": "engine.chat",
    "Comparison": "core.records",
    "Decoding": "core.records",
    "GateConfig": "evals.gate",
    "Ledger": "ledger.ledger",
    "LocalSystem": "providers.local",
    "Message": "core.records",
    "PreferenceConfig": "train.preference",
    "Probe": "core.records",
    "SFTConfig": "train.sft",
    "TokenSequence": "engine.tree",
    "Trunk": "engine.trunk",
    "build_forest": "engine.tree",
    "compare": "evals.compare",
    "evaluate": "evals.run",
    "gate": "evals.gate:decide",
    "load_adapter": "engine.adapters",
    "run_recipe": "loops.api",
    "save_adapter": "engine.adapters",
    "score_forest": "engine.score",
    "train_preference": "train.preference",
    "train_sft": "train.sft",
}

__all__ = [
    "METRICS",
    "AdapterConfig",
    "Chat",
    "Comparison",
    "Decoding",
    "GateConfig",
    "Ledger",
    "LocalSystem",
    "Message",
    "PreferenceConfig",
    "Probe",
    "SFTConfig",
    "TokenSequence",
    "Trunk",
    "__version__",
    "build_forest",
    "compare",
    "evaluate",
    "gate",
    "load_adapter",
    "run_recipe",
    "save_adapter",
    "score_forest",
    "train_preference",
    "train_sft",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'truing' has no attribute {name!r}; its public names are in truing.__all__")
    module, _, inner = _HOMES[name].partition(":")
    found = getattr(import_module(f"truing.{module}"), inner or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
