"""TruthfulQA's multiple choice beside lm-evaluation-harness: the same numbers, and the time that each takes.

    make bench-eval

The harness runs in an environment of its own, made under --work. Both sides: the embedded model, float32, no chat
template, the harness's prompt with its primer. Every log-probability and both figures are compared, and each side's
wall clock on the same questions, one after the other: reading the rows, tokenising, scoring, and the figures, but not
loading the model. The harness uses the fastest of a few batch sizes, tried on five questions beforehand. truing keeps
nothing between runs here.
"""

import argparse
import datetime
import json
import os
import sys
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
BESIDE = HERE.parent / "preference"
sys.path.insert(0, str(BESIDE))  # the line protocol and the environments are the other benchmark's

VERSION = "0.4.13"
REQUIREMENTS = ["torch==2.13.0", f"lm-eval[hf]=={VERSION}", "transformers==5.23.0", "accelerate"]
LIMIT = 1e-3
TIES = "right"  # the harness's rule: a right choice that is as likely as a wrong one wins
PART, QUESTIONS = 25, 817


def main() -> None:
    """Compare, time, print and write the table. Exit code 1 where a number differs."""
    from run import Process, environment, processor

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, required=True, help="hf_multiple_choice_817.json of TruthfulQA")
    parser.add_argument("--work", type=Path, default=Path(".bench"), help="where environments and results go")
    parser.add_argument("--count", type=int, default=100, help="questions that both sides answer (817: all)")
    parser.add_argument("--rounds", type=int, default=1, help="how often each side answers them, in turn")
    parser.add_argument(
        "--parts", action="store_true", help=f"all questions on both sides, {PART} at a time, each kept"
    )
    parser.add_argument("--all-of-ours", action="store_true", help="also time truing alone on all 817 questions")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    threads = os.cpu_count() or 1

    from truing.engine.embedded import embedded_model

    arguments = [str(embedded_model()), str(options.questions.resolve()), str(threads)]
    here = dict(os.environ, PYTHONPATH=os.pathsep.join([str(HERE.parent.parent), str(HERE), str(BESIDE)]))
    ours = Process("truing", [sys.executable, str(HERE / "truing_worker.py"), *arguments], here, work / "eval.log")
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    theirs = Process(
        f"lm-evaluation-harness {VERSION}",
        [environment(work / f"lm-eval-{VERSION}", REQUIREMENTS), str(HERE / "harness_worker.py"), *arguments],
        {**clean, "PYTHONPATH": os.pathsep.join([str(HERE), str(BESIDE)]), "HF_HUB_OFFLINE": "1"},
        work / f"lm-eval-{VERSION}.log",
    )
    result: dict[str, Any] = {"version": VERSION, "threads": threads, "count": options.count, "processor": processor()}
    if options.parts:
        theirs.call("settle", count=1)
        in_parts(ours, theirs, work / f"eval-{QUESTIONS}")
        return
    result["batch_sizes"] = theirs.call("settle", count=min(5, options.count))
    ours.call("run", count=min(5, options.count))
    rounds = []
    for _ in range(options.rounds):
        rounds.append((ours.call("run", count=options.count, ties=TIES), theirs.call("run", count=options.count)))
        print(json.dumps([side["seconds"] for side in rounds[-1]]), flush=True)
    result["seconds"] = {
        name: [one[side]["seconds"] for one in rounds] for side, name in enumerate(("truing", "harness"))
    }
    result["equal"] = equality(*rounds[0])
    if options.all_of_ours:
        result["all"] = ours.call("run", count=817)["seconds"]
    result["peaks"] = {"truing": ours.peak, "harness": theirs.peak}
    (work / "eval.json").write_text(json.dumps(result, indent=1))
    print(table(result))
    if not result["equal"]["agrees"]:
        raise SystemExit("the two sides differ")


def in_parts(ours: Any, theirs: Any, kept: Path) -> None:
    """Every question on both sides, a part at a time; a stopped run goes on with the first part that is not kept. What
    the parts were made by is not looked at: after a change of either side, remove the folder."""
    kept.mkdir(exist_ok=True)
    parts = [(first, min(PART, QUESTIONS - first)) for first in range(0, QUESTIONS, PART)]
    found = []
    for first, count in parts:
        file = kept / f"{first}.json"
        if not file.exists():
            mine = ours.call("run", count=count, first=first, ties=TIES)
            other = theirs.call("run", count=count, first=first, once=True)
            file.write_text(json.dumps({"equal": equality(mine, other), "count": count}))
        found.append(json.loads(file.read_text()))
        print(f"{first + count} of {QUESTIONS} questions", flush=True)
    print(parts_table(found))
    if not all(one["equal"]["agrees"] for one in found):
        raise SystemExit("the two sides differ")


def parts_table(found: list[dict[str, Any]]) -> str:
    """What all parts together say: the largest difference, and both figures."""
    asked = sum(one["count"] for one in found)
    worst = max(max(one["equal"]["largest difference of a log-probability"].values()) for one in found)
    choices = sum(one["equal"]["choices"] for one in found)
    lines = [f"{choices} log-probabilities of {asked} questions differ by at most {worst:.1e} nat.", ""]
    lines += ["| | MC1 | MC2 |", "|---|---|---|"]
    for side, name in enumerate(("truing", f"lm-evaluation-harness {VERSION}")):
        key = ("truing", "harness")[side]
        means = [
            sum(one["equal"]["means"][form][key] * one["count"] for one in found) / asked for form in ("mc1", "mc2")
        ]
        lines.append(f"| {name} | {means[0]:.6f} | {means[1]:.6f} |")
    return "\n".join(lines)


def equality(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """The largest difference of a log-probability, and both figures."""
    apart = {
        form: max(
            abs(one - other)
            for mine, other_side in zip(ours["logprobs"][form], theirs["logprobs"][form], strict=True)
            for one, other in zip(mine, other_side, strict=True)
        )
        for form in ("mc1", "mc2")
    }
    choices = sum(len(one) for form in ("mc1", "mc2") for one in theirs["logprobs"][form])
    means = {form: {"truing": ours["means"][form], "harness": theirs["means"][form]} for form in ("mc1", "mc2")}
    same_prompt = ours["prompt"] == theirs["prompt"]
    same_means = all(f"{one['truing']:.4f}" == f"{one['harness']:.4f}" for one in means.values())
    return {
        "agrees": same_prompt and same_means and max(apart.values()) <= LIMIT,
        "same prompt": same_prompt,
        "largest difference of a log-probability": apart,
        "choices": choices,
        "means": means,
    }


def table(result: dict[str, Any]) -> str:
    """The Markdown table."""
    ours, theirs = (median(result["seconds"][name]) for name in ("truing", "harness"))
    equal, peaks = result["equal"], result["peaks"]
    batch = min(result["batch_sizes"], key=lambda name: result["batch_sizes"][name])
    means = equal["means"]
    worst = max(equal["largest difference of a log-probability"].values())
    lines = [
        f"{datetime.date.today()}, {result['processor']}, {result['threads']} threads; MC1 and MC2 on "
        f"{result['count']} questions; {equal['choices']} log-probabilities differ by at most {worst:.1e} nat.",
        "",
        "| | MC1 | MC2 | s | peak memory | truing is faster |",
        "|---|---|---|---|---|---|",
        f"| truing | {means['mc1']['truing']:.4f} | {means['mc2']['truing']:.4f} | {ours:.1f} | "
        f"{peaks['truing'] / 1e9:.1f} GB | |",
        f"| lm-evaluation-harness {result['version']}, batches of {batch} | {means['mc1']['harness']:.4f} | "
        f"{means['mc2']['harness']:.4f} | {theirs:.1f} | {peaks['harness'] / 1e9:.1f} GB | {theirs / ours:.1f}× |",
    ]
    if "all" in result:
        lines += ["", f"truing on all 817 questions: {result['all']:.0f} s."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
