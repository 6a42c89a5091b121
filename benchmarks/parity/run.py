"""Every preference loss of truing beside TRL's: loss and gradient from one adapter that is not zero.

    python benchmarks/parity/run.py --pairs harmless_base_1800.jsonl.gz --json parity.json

A few short pairs of hh-rlhf, the embedded model, float32, LoRA of rank 16 on the upper 12 layers. Each side runs in an
environment of its own; TRL's is made under --work from the versions of the benchmark beside. truing's numbers are those
of the first step of its trainer. Takes about 3 minutes and 4 GB.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BESIDE = HERE.parent / "preference"
VERSION, LIMIT = "1.16.0", 1e-4


@dataclass(frozen=True)
class Case:
    """One comparison: truing's settings, and what TRL's trainer is set to. truing's loss is multiplied by `times`;
    `agrees` says whether the two should be equal."""

    name: str
    ours: dict[str, Any]
    kind: str
    theirs: dict[str, Any]
    note: str = ""
    alone: bool = False
    times: float = 1.0
    first_tokens: int | None = None
    agrees: bool = True
    call: dict[str, Any] = field(default_factory=dict)


def _pairs(loss: str, trl: str, **options: Any) -> Case:
    """A loss of TRL's DPO trainer with truing's default β, without the SFT term."""
    beta = {"sigmoid_norm": 5.0, "hinge": 0.05, "nca": 0.01, "bco": 0.01}.get(loss, 0.1)
    theirs = {"loss_types": [trl], "loss_weights": [1.0], "beta": beta, **options.pop("theirs", {})}
    return Case(loss, {"loss": loss, "sft_weight": 0.0, **options.pop("ours", {})}, "dpo", theirs, **options)


CASES = (
    _pairs("dpo", "sigmoid"),
    Case(
        "dpo, SFT term", {"loss": "dpo", "sft_weight": 0.1}, "dpo",
        {"loss_types": ["sigmoid", "sft"], "loss_weights": [1.0, 0.1], "beta": 0.1}, alone=True,
        note="batches of one pair: TRL's mean is over a batch's tokens, truing's over answers",
    ),
    _pairs("robust_dpo", "robust", ours={"flip_rate": 0.1}, theirs={"label_smoothing": 0.1}),
    _pairs("sigmoid_norm", "sigmoid_norm"),
    _pairs("hinge", "hinge"),
    _pairs("nca", "nca_pair"),
    _pairs("apo_zero", "apo_zero"),
    _pairs("apo_down", "apo_down"),
    _pairs("bco", "bco_pair", times=2, note="TRL has no shift, as truing's first step, and sums a pair's answers: × 2"),
    _pairs("ipo", "ipo", agrees=False, note="TRL divides log-ratios by lengths, without an option; the paper sums"),
    _pairs("ipo", "ipo", first_tokens=1, note="answers cut to one token, where both are the paper's"),
    Case(
        "kto", {"loss": "kto"}, "kto", {"loss_type": "kto", "beta": 0.1},
        note="truing's choice of mismatched answers given to TRL",
    ),
    Case(
        "cpo", {"loss": "cpo"}, "cpo", {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 1.0}, alone=True,
        note="batches of one pair, as for the SFT term",
    ),
    Case(
        "simpo", {"loss": "simpo"}, "cpo", {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.0},
    ),
    Case(
        "orpo", {"loss": "orpo"}, "orpo", {"beta": 0.1}, alone=True, agrees=False,
        note="TRL's likelihood term counts the prompt's tokens, too, and has no option not to",
    ),
    Case(
        "orpo", {"loss": "orpo", "sft_weight": 0.0}, "orpo", {"beta": 0.1}, call={"without_nll": True},
        note="λ L_OR alone",
    ),
)  # fmt: skip
ABSENT = {"cdpo": "TRL's DPO has none: `label_smoothing` is ignored by `sigmoid`"}


def main() -> None:
    """Prepare, compare case by case, print and keep the table; ends with 1 where a case that should agree does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="harmless_base_1800.jsonl.gz of hh-rlhf")
    parser.add_argument("--work", type=Path, default=Path(".bench"), help="where environments and results go")
    parser.add_argument("--count", type=int, default=3, help="how many pairs")
    parser.add_argument("--model", type=Path, help="a model folder instead of the embedded model")
    parser.add_argument("--json", type=Path, help="where the table is kept")
    options = parser.parse_args()
    sys.path.insert(0, str(BESIDE))
    from run import PEERS, Process, environment, processor

    from truing.engine.embedded import embedded_model

    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    arguments = [
        str(options.model or embedded_model()),
        str(options.pairs.resolve()),
        str(options.count),
        str(work / "parity-adapter"),
    ]
    arguments.append(str(os.cpu_count() or 1))
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ours = Process(
        "truing", [sys.executable, str(HERE / "truing_worker.py"), *arguments],
        {**clean, "PYTHONPATH": os.pathsep.join([str(BESIDE), str(HERE.parent.parent)])}, work / "parity-truing.log",
    )  # fmt: skip
    ours.call("make_adapter")
    python = environment(work / f"trl-{VERSION}", PEERS[VERSION])
    peer = Process(
        f"TRL {VERSION}", [python, str(HERE / "trl_worker.py"), *arguments], {**clean, "PYTHONPATH": str(BESIDE)},
        work / "parity-trl.log",
    )  # fmt: skip
    ids = ours.call("tokens")
    if peer.call("tokens") != ids:
        raise SystemExit("TRL and truing do not score the same tokens")
    mismatched = ours.call("mismatched")
    results = []
    for case in CASES:
        results.append(compare(case, ours, peer, ids, mismatched, work))
        print(json.dumps(results[-1]), flush=True)
    print(f"\n{processor()}, {sum(len(answer) for row in ids for answer in row[1:])} scored tokens\n")
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps({"trl": VERSION, "cases": results, "absent": ABSENT}, indent=1))
    sys.exit(any(result["agrees"] != result["expected"] for result in results))


def compare(case: Case, ours: Any, peer: Any, ids: Any, mismatched: Any, work: Path) -> dict[str, Any]:
    """One case's losses and gradients. A trainer that does not run is a result, too."""
    from safetensors.torch import load_file

    files = [work / f"parity-{side}.safetensors" for side in ("truing", "trl")]
    ours.call("check", settings=case.ours, first_tokens=case.first_tokens, save_to=str(files[0]))
    if case.first_tokens is not None:
        ids = [[prompt, *(answer[: case.first_tokens] for answer in answers)] for prompt, *answers in ids]
    given = {"mismatched": mismatched} if case.kind == "kto" else {}
    peer.call(
        "check", kind=case.kind, settings=case.theirs, ids=ids, alone=case.alone, save_to=str(files[1]),
        **given, **case.call,
    )  # fmt: skip
    one, two = (load_file(file) for file in files)
    losses = [float(one.pop("loss")) * case.times, float(two.pop("loss"))]
    assert sorted(one) == sorted(two), "the adapters' parameters differ"
    gradients = [_flat(one) * case.times, _flat(two)]
    norms = [float(gradient.norm()) for gradient in gradients]
    apart = {
        "loss": abs(losses[0] / losses[1] - 1),
        "norm": abs(norms[0] / norms[1] - 1),
        "gradient": float((gradients[0] - gradients[1]).norm()) / norms[1],
    }
    return {
        "loss": case.name, "trl": {"trainer": case.kind, **case.theirs}, "ours": losses[0],
        "theirs": losses[1], "norm": norms[0], "their norm": norms[1], "apart": apart,
        "agrees": max(apart.values()) <= LIMIT, "expected": case.agrees, "note": case.note,
    }  # fmt: skip


def _flat(gradients: dict[str, Any]) -> Any:
    import torch

    return torch.cat([gradients[name].flatten().double() for name in sorted(gradients)])


def table(results: list[dict[str, Any]]) -> str:
    """The Markdown table; differences are relative."""
    lines = ["| loss | truing | TRL | loss apart | norm apart | gradient apart | |", "|---|---|---|---|---|---|---|"]
    for result in results:
        apart = " | ".join(f"{result['apart'][key]:.0e}" for key in ("loss", "norm", "gradient"))
        verdict = "equal" if result["agrees"] else "differs"
        note = f"{verdict}: {result['note']}" if result["note"] else verdict
        lines.append(f"| {result['loss']} | {result['ours']:.6f} | {result['theirs']:.6f} | {apart} | {note} |")
    lines += [f"| {loss} | | absent | | | | {why} |" for loss, why in ABSENT.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
