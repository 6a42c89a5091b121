"""The table of verbs: a new one is one file beside these and one entry here.

A verb's file is imported when the verb is asked for: the files of those that train bring PyTorch, which takes seconds,
and a step that is reused needs none of it.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from truing.loops.recipe import Verb

# The verb's name, its file, and what it is called there.
_PLACES = {
    "dataset": ("dataset", "Dataset"),
    "judged": ("judged", "JudgedAnswers"),
    "sft": ("training", "SFT"),
    "preference": ("training", "Preference"),
    "unpaired": ("training", "Unpaired"),
    "reward": ("reward", "Reward"),
    "ppo": ("policy", "PPO"),
    "rloo": ("policy", "RLOO"),
    "grpo": ("policy", "GRPO"),
    "online_dpo": ("policy", "ONLINE_DPO"),
    "evaluate": ("evaluation", "Evaluate"),
    "benchmark": ("benchmark", "Benchmark"),
    "latency": ("latency", "MeasureLatency"),
    "gate": ("gating", "Gate"),
    "gate_running": ("running", "GateRunning"),
    "judge": ("judge", "Judge"),
    "rejudge": ("rejudge", "Rejudge"),
    "pairwise": ("pairwise", "PairwiseAnswers"),
    "report": ("reporting", "Report"),
}


class _Verbs(Mapping[str, Verb]):
    def __getitem__(self, name: str) -> Verb:
        return _verb(*_PLACES[name])

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


@cache
def _verb(file: str, called: str) -> Verb:
    found = getattr(import_module(f"truing.loops.verbs.{file}"), called)
    verb: Verb = found() if isinstance(found, type) else found
    return verb


VERBS: Mapping[str, Verb] = _Verbs()
