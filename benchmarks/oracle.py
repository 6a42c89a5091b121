"""Do PPO and RLOO find what is known to be there? Rewards whose best answer nobody has to guess, on the embedded model.

    python benchmarks/oracle.py                      every stage that has not been run yet, then the table
    python benchmarks/oracle.py --stages base rloo-band --minutes 10
    python benchmarks/oracle.py --write docs         the table into docs/rlhf.md, the curve beside it

    base               answers of the bare model to held-out prompts; best of n of them, with its bound on the KL
    ppo-band, rloo-band    an answer's length shall lie in a band
    ppo-word, rloo-word    an answer shall do without the word "the"
    over-rloo          the band with an error as a proxy: gold and proxy along √KL (Gao et al. 2023, arXiv:2210.10760)

Each training stage stops after `--minutes`, or once the policy is more than `--most-kl` nats an answer from the
reference. What was done is kept in .bench/oracle: a stage that was stopped goes on from its last iteration.
"""

import argparse
import hashlib
import json
import math
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from truing.core.records import Answer, Conversation, Decoding
from truing.data import formats
from truing.engine.adapters import load_adapter, remove_adapter, save_adapter, use_adapter
from truing.engine.chat import Chat, as_drawn
from truing.engine.generate import generate
from truing.engine.score import batches, score_forest
from truing.engine.tree import build_forest
from truing.engine.trunk import Trunk
from truing.judges.rewards import FunctionReward
from truing.losses.kl import k1, k3
from truing.starter import STARTER, comparison_files
from truing.train.optimise import OptimiserConfig
from truing.train.policy import KLConfig
from truing.train.ppo import PPOConfig, train_ppo
from truing.train.records import PolicyStep
from truing.train.rloo import RLOOConfig, train_rloo
from truing.train.rollouts import RolloutConfig

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".bench" / "oracle"
PAGE, BEGIN, END = "rlhf.md", "<!-- oracle: begin -->\n", "<!-- oracle: end -->\n"
FIGURE = "over-optimisation.svg"
LOW, HIGH = 12, 24  # the band, in tokens
STAGES = ("base", "ppo-band", "rloo-band", "ppo-word", "rloo-word", "over-rloo")


@dataclass(frozen=True)
class Sizes:
    """How much is drawn: held-out prompts, answers to each for the best of n, tokens, iterations, answers of each."""

    held_out: int = 48
    best_of: int = 16
    tokens: int = 48
    iterations: int = 60
    answers: int = 32


SMALL = Sizes(held_out=3, best_of=4, tokens=16, iterations=3, answers=4)


def band(_prompt: Conversation, answer: Answer) -> float:
    """1 inside the band of tokens (end included), falling by 1 with every 12 tokens outside it; −1 where it was cut."""
    length = len(answer.logprobs)
    return 1.0 - max(LOW - length, 0, length - HIGH) / 12 if answer.finished else -1.0


def word(_prompt: Conversation, answer: Answer) -> float:
    """1 for a finished answer of at least LOW tokens without the word "the", 0 for any other."""
    whole = answer.finished and len(answer.logprobs) >= LOW
    return float(whole and re.search(r"\bthe\b", answer.text, re.IGNORECASE) is None)


def proxy(prompt: Conversation, answer: Answer) -> float:
    """The band with an error that can be exploited: each word has a fixed random worth, and their mean is added."""
    words = re.findall(r"\w+", answer.text.lower())
    worth = [hashlib.sha256(f"worth/{one}".encode()).digest()[0] / 255 - 0.5 for one in words]
    return band(prompt, answer) + 4 * sum(worth) / max(1, len(worth))


class Watched(FunctionReward):
    """A reward that keeps what another one says of the same answers."""

    def __init__(self, function: Any, gold: Any) -> None:
        super().__init__(lambda rows: [function(*row) for row in rows], function.__name__, "1")
        self.gold, self.last = gold, math.nan

    def score(self, rows: Sequence[tuple[Conversation, Answer]]) -> list[float]:
        self.last = float(np.mean([self.gold(prompt, answer) for prompt, answer in rows]))
        return super().score(rows)


REWARDS = {"band": (band, band), "word": (word, word), "over": (proxy, band)}


def prompts(sizes: Sizes) -> tuple[list[Conversation], list[Conversation]]:
    """(training, held out): the starter's prompts of harmless questions, in the order of their hash."""
    files = [file for file in comparison_files(STARTER) if "helpful" in file.name]
    rows = [row for file in files for row in formats.load(file)[0]]
    unique = sorted(
        dict.fromkeys(row.prompt for row in rows), key=lambda one: hashlib.sha256(one[-1].content.encode()).hexdigest()
    )
    return unique[sizes.held_out :], unique[: sizes.held_out]


def settings(name: str, sizes: Sizes) -> PPOConfig | RLOOConfig:
    """Of a stage. Over-optimisation is to be seen, so there nothing holds the policy back."""
    ppo = name.startswith("ppo")
    samples = 2 if ppo else 4
    common: dict[str, Any] = {
        "iterations": sizes.iterations,
        "rollout": RolloutConfig(
            prompts=sizes.answers // samples,
            samples=samples,
            max_new_tokens=sizes.tokens,
            missing_end_penalty=0.0,
            may_all_be_cut=True,
        ),
        "kl": KLConfig(coefficient=0.0 if name.startswith("over") else 0.02),
        "optimiser": OptimiserConfig(learning_rate=3e-4, warmup=0.05),
    }
    return PPOConfig(**common) if ppo else RLOOConfig(**common)


def answers_of(
    trunk: Trunk, chat: Chat, asked: Sequence[Conversation], tokens: int, seed: int, what: str
) -> list[Answer]:
    """One drawn answer to each of the conversations, with progress."""
    ids = [chat.prompt_ids(one) for one in asked]
    made: list[Answer | None] = [None] * len(ids)
    decoding = Decoding(temperature=1.0, max_new_tokens=tokens, seed=seed)
    for done, (number, one) in enumerate(generate(trunk, ids, decoding, chat.end_id), start=1):
        made[number] = Answer(
            text=chat.text(one.ids),
            token_ids=one.ids,
            logprobs=one.logprobs,
            finished=one.finished,
            least_gap=one.least_gap,
        )
        print(f"\r{what}: {done} of {len(ids)} answers", end="", flush=True)
    print()
    return [one for one in made if one is not None]


def base(trunk: Trunk, chat: Chat, sizes: Sizes) -> dict[str, Any]:
    """The bare model on held-out prompts, and the best of n of its answers, for every reward.

    The mean of the best of n among m ≥ n drawn answers is taken over all subsets: with rewards sorted upwards, the i-th
    is the best of C(i−1, n−1) of C(m, n) subsets.
    """
    _, held_out = prompts(sizes)
    asked = [one for one in held_out for _ in range(sizes.best_of)]
    answers = answers_of(trunk, chat, asked, sizes.tokens, 1, "base")
    found: dict[str, Any] = {"eos_rate": float(np.mean([one.finished for one in answers]))}
    for name, (reward, gold) in REWARDS.items():
        said = np.array([[reward(p, a), gold(p, a)] for p, a in zip(asked, answers, strict=True)])
        said = said.reshape(len(held_out), sizes.best_of, 2)
        rows = []
        for n in (n for n in (1, 2, 4, 8, 16) if n <= sizes.best_of):
            weights = np.array([math.comb(i, n - 1) for i in range(sizes.best_of)]) / math.comb(sizes.best_of, n)
            order = np.argsort(said[:, :, 0], axis=1, kind="stable")
            both = [np.take_along_axis(said[:, :, k], order, 1) @ weights for k in (0, 1)]
            rows.append(
                {"n": n, "kl": math.log(n) - (n - 1) / n, "reward": interval(both[0]), "gold": float(both[1].mean())}
            )
        found[name] = rows
    return found


def interval(values: np.ndarray[Any, Any]) -> list[float]:
    """[mean, half width of its 95% interval over prompts]."""
    return [float(values.mean()), float(1.96 * values.std(ddof=1) / math.sqrt(len(values)))]


def measured(trunk: Trunk, chat: Chat, adapter: Path, name: str, sizes: Sizes) -> dict[str, Any]:
    """A trained policy on held-out prompts: reward, KL in nats an answer by both estimators, length."""
    _, held_out = prompts(sizes)
    asked = [one for one in held_out for _ in range(4)]
    load_adapter(trunk, adapter, "measured")
    try:
        with use_adapter(trunk, "measured"):
            answers = answers_of(trunk, chat, asked, sizes.tokens, 2, f"{name}, held out")
        sequences = [as_drawn(chat.prompt_ids(p), a, chat.end_id) for p, a in zip(asked, answers, strict=True)]
        forest, reference = build_forest(sequences), []
        for part in batches(forest, range(len(sequences)), 2048):
            with torch.no_grad(), use_adapter(trunk, None):
                reference.append(score_forest(trunk, forest.select(part)).value)
    finally:
        remove_adapter(trunk, "measured")
    drawn = torch.tensor([value for one in answers for value in one.logprobs])
    reward, gold = REWARDS[name.split("-")[1] if "over" not in name else "over"]
    said = np.array([reward(p, a) for p, a in zip(asked, answers, strict=True)]).reshape(len(held_out), 4).mean(1)
    return {
        "reward": interval(said),
        "gold": float(np.mean([gold(p, a) for p, a in zip(asked, answers, strict=True)])),
        "kl_k1": float(k1(drawn, torch.cat(reference)).sum()) / len(answers),
        "kl_k3": float(k3(drawn, torch.cat(reference)).sum()) / len(answers),
        "length": len(drawn) / len(answers),
        "eos_rate": float(np.mean([one.finished for one in answers])),
    }


def trained(
    trunk: Trunk, chat: Chat, name: str, sizes: Sizes, kept: Path, minutes: float, most_kl: float
) -> dict[str, Any]:
    """Train a stage, from where it was stopped, and measure it."""
    function, gold = REWARDS["over" if name.startswith("over") else name.split("-")[1]]
    reward = Watched(function, gold)
    training, _ = prompts(sizes)
    config, trainer = settings(name, sizes), train_ppo if name.startswith("ppo") else train_rloo
    curve_file = kept / f"{name}.jsonl"
    items: Any = trainer(
        trunk,
        chat,
        training,
        reward,
        config,
        seed=0,
        name="policy",  # type: ignore[operator]
        checkpoint=kept / f"{name}.safetensors",
    )
    used = sum(one["seconds"] for one in read_curve(curve_file).values())
    begun = time.monotonic()
    try:
        for item in items:
            if not isinstance(item, PolicyStep):
                continue
            seconds, begun = time.monotonic() - begun, time.monotonic()
            used += seconds
            line = {**item.model_dump(), "gold": reward.last, "seconds": seconds}
            with curve_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(
                f"{name} {item.step}/{item.steps}: reward {item.reward:.3f} gold {reward.last:.3f} KL {item.kl_k1:.2f} "
                f"tokens {item.mean_length:.1f} ended {item.eos_rate:.0%} ({used / 60:.1f} min)",
                flush=True,
            )
            if used > 60 * minutes or item.kl_k1 > most_kl:
                break
        items.close()
        save_adapter(trunk, "policy", kept / name)
    finally:
        if trunk.peft is not None:
            remove_adapter(trunk, "policy")
    return {
        "minutes": used / 60,
        "iterations": max(read_curve(curve_file)),
        **measured(trunk, chat, kept / name, name, sizes),
    }


def read_curve(file: Path) -> dict[int, dict[str, Any]]:
    """The last record of each iteration."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {one["step"]: one for one in map(json.loads, lines)}


def fitted(points: Sequence[tuple[float, float]], logarithm: bool) -> tuple[float, float]:
    """(α, β) of R = d(α − β d), or with ln d for RL, by least squares over points (d, R − R at d = 0)."""
    d, reward = np.array(points).T
    features = np.stack([d, -d * (np.log(d) if logarithm else d)], axis=1)
    alpha, beta = np.linalg.lstsq(features, reward, rcond=None)[0]
    return float(alpha), float(beta)


def table(results: dict[str, Any], kept: Path) -> str:
    """What was measured, as Markdown."""
    lines = [
        "| reward | policy | KL (nats an answer) | reward on held-out prompts | iterations | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for kind, title in (("band", f"{LOW} to {HIGH} tokens"), ("word", 'without "the"')):
        for row in results.get("base", {}).get(kind, []):
            what = "the model as it is" if row["n"] == 1 else f"best of {row['n']}"
            lines.append(f"| {title} | {what} | ≤ {row['kl']:.2f} | {shown(row['reward'])} | | |")
        for method in ("ppo", "rloo"):
            if (one := results.get(f"{method}-{kind}")) is not None:
                lines.append(
                    f"| {title} | {method.upper()} | {one['kl_k1']:.2f} | {shown(one['reward'])} | "
                    f"{one['iterations']} | {one['minutes']:.0f} |"
                )
    if (curve := over_optimised(results, kept)) is not None:
        points, best, fits = curve
        lines += ["", "| √KL | proxy | gold |", "|---|---|---|"]
        lines += [f"| {d:.2f} | {said:.3f} | {gold:.3f} |" for d, said, gold in points[:: max(1, len(points) // 10)]]
        (alpha, beta), (of_best, falls) = fits
        lines += ["", f"![Proxy and gold reward along √KL, for RLOO and for the best of n]({FIGURE})", ""]
        lines.append(
            f"Gold reward above the start, with d = √KL: RLOO d({alpha:.2f} {signed(-beta)} ln d), best of n up to"
        )
        lines.append(f"{2 ** len(best)} d({of_best:.2f} {signed(-falls)} d).")
    return "\n".join(lines) + "\n"


Points = list[tuple[float, float, float]]  # (√KL, proxy, gold)


def over_optimised(
    results: dict[str, Any], kept: Path
) -> tuple[Points, Points, tuple[tuple[float, float], tuple[float, float]]] | None:
    """RLOO's rounds, the best of n from 2 on, and the fits of their gold rewards above the start; None: not yet run."""
    over = read_curve(kept / "over-rloo.jsonl")
    if len(over) < 3 or "base" not in results:
        return None
    start, *more = results["base"]["over"]
    rounds = [(math.sqrt(max(one["kl_k3"], 0)), one["reward"], one["gold"]) for _, one in sorted(over.items())]
    best = [(math.sqrt(row["kl"]), row["reward"][0], row["gold"]) for row in more]
    fits = (
        fitted([(d, gold - start["gold"]) for d, _, gold in rounds if d > 0.05], logarithm=True),
        fitted([(d, gold - start["gold"]) for d, _, gold in best], logarithm=False),
    )
    return rounds, best, fits


def plot(results: dict[str, Any], kept: Path, file: Path) -> None:
    """Proxy and gold along √KL: each round of RLOO, and the fitted form of its gold; the best of n beside it."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    if (curve := over_optimised(results, kept)) is None:
        return
    rounds, best, ((alpha, beta), _) = curve
    start = results["base"]["over"][0]["gold"]
    matplotlib.rcParams["svg.hashsalt"] = "over-optimisation"
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
    along = np.linspace(0.05, max(d for d, _, _ in rounds), 200)
    left.plot(along, start + along * (alpha - beta * np.log(along)), color="#2a6f97")
    for axis, points, title in ((left, rounds, "RLOO, a point a round"), (right, best, "best of n")):
        for column, (name, colour) in enumerate((("proxy", "#c8553d"), ("gold", "#2a6f97")), start=1):
            axis.plot([p[0] for p in points], [p[column] for p in points], "o", ms=3, color=colour, label=name)
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_xlabel("√KL, KL in nats an answer")
        axis.grid(alpha=0.3)
    left.set_ylabel("mean reward")
    left.legend(frameon=False)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'} {abs(value):.2f}"


def shown(pair: Sequence[float]) -> str:
    return f"{pair[0]:.3f} ± {pair[1]:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--minutes", type=float, default=30.0, help="most minutes of each training stage")
    parser.add_argument("--most-kl", type=float, default=10.0, help="nats an answer at which a stage stops")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--small", action="store_true", help="few answers: a trial of this script, no measurement")
    parser.add_argument("--kept", type=Path, default=KEPT, metavar="FOLDER", help="where results are kept")
    parser.add_argument("--again", action="store_true", help="measure stages again that have a result")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write the table into rlhf.md in this folder")
    asked = parser.parse_args(arguments)
    asked.kept.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in asked.stages if asked.again or not (asked.kept / f"{name}.json").exists()]
    if wanted and asked.write is None:
        trunk, sizes = Trunk.load(asked.model), SMALL if asked.small else Sizes()
        chat = Chat(trunk.tokenizer, trunk.context)
        for name in wanted:
            most_kl = math.inf if name.startswith("over") else asked.most_kl
            found = (
                base(trunk, chat, sizes)
                if name == "base"
                else trained(trunk, chat, name, sizes, asked.kept, asked.minutes, most_kl)
            )
            (asked.kept / f"{name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    results = {
        name: json.loads((asked.kept / f"{name}.json").read_text())
        for name in STAGES
        if (asked.kept / f"{name}.json").exists()
    }
    print(table(results, asked.kept))
    if asked.write is not None:
        page = asked.write / PAGE
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        plot(results, asked.kept, asked.write / FIGURE)
        page.write_text(before + BEGIN + table(results, asked.kept) + END + rest.partition(END)[2], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
