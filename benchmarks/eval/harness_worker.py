"""lm-evaluation-harness's side: its own evaluator, tasks and Hugging Face model. Nothing of truing is imported.

The tasks are its `truthfulqa_mc1` and `truthfulqa_mc2`, prompt, metric and all; only where the rows come from is
replaced, by a local file of the same rows, so that no network is needed.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from questions import questions
from worker import serve

FORMS = ("mc1", "mc2")
BATCHES = (1, 8, 32)


class Worker:
    """One model and one folder of tasks."""

    def __init__(self, model: str, file: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.file, self.threads, self.model_folder = Path(file), threads, model
        self.batch = BATCHES[0]
        self.model = HFLM(pretrained=model, dtype="float32", device="cpu", batch_size=self.batch)

    def settle(self, count: int) -> dict[str, float]:
        """Seconds of a few questions for each batch size; the fastest is used from here on."""
        seconds: dict[str, float] = {}
        for batch in BATCHES:
            self.model.batch_size_per_gpu = batch
            seconds[str(batch)] = self.run(count)["seconds"]
        self.batch = int(min(seconds, key=lambda name: seconds[name]))
        self.model.batch_size_per_gpu = self.batch
        return seconds

    def run(self, count: int, first: int | None = None, once: bool = False) -> dict[str, Any]:
        """Both tasks on so many questions (see `questions`): wall-clock seconds, means, and each question's
        log-probabilities. With `once`, one task after the other through the harness's cache of answers, so that a
        choice that both ask for is scored once."""
        with tempfile.TemporaryDirectory() as folder:
            names = self._tasks(Path(folder), questions(self.file, count, first))
            manager = TaskManager(include_path=folder)
            started = time.perf_counter()
            together = [[name] for name in names.values()] if once else [list(names.values())]
            results, answers = dict[str, Any](), dict[str, Any]()
            for tasks in together:
                found = lm_eval.simple_evaluate(
                    model=self.model,
                    tasks=tasks,
                    task_manager=manager,
                    num_fewshot=0,
                    log_samples=True,
                    bootstrap_iters=0,
                    confirm_run_unsafe_code=True,
                    use_cache=str(Path(folder) / "answers") if once else None,
                )
                results |= found["results"]
                answers |= found["samples"]
            seconds = time.perf_counter() - started
        result: dict[str, Any] = {"seconds": seconds, "means": {}, "logprobs": {}, "prompt": ""}
        for form, name in names.items():
            result["means"][form] = results[name]["acc,none"]
            samples = sorted(answers[name], key=lambda sample: sample["doc_id"])
            result["logprobs"][form] = [[float(answer[0]) for answer in one["filtered_resps"]] for one in samples]
            first = samples[0]["arguments"]
            result["prompt"] = first[0][0] if isinstance(first, list) else first["gen_args_0"]["arg_0"]
        return result

    def _tasks(self, folder: Path, asked: list[dict[str, Any]]) -> dict[str, str]:
        """Write the rows, and a task of each form that includes the harness's own."""
        rows = folder / "rows.jsonl"
        kept = ("question", "mc1_targets", "mc2_targets")
        lines = [json.dumps({key: row[key] for key in kept}) for row in asked]
        rows.write_text("\n".join(lines) + "\n")
        own = Path(lm_eval.__file__).parent / "tasks" / "truthfulqa"
        names = {}
        for form in FORMS:
            names[form] = f"local_truthfulqa_{form}"
            (folder / f"{names[form]}.yaml").write_text(
                f"include: {own / f'truthfulqa_{form}.yaml'}\n"
                f"task: {names[form]}\n"
                "dataset_path: json\n"
                "dataset_name: null\n"
                f"dataset_kwargs:\n  data_files:\n    validation: {rows}\n"
            )
        return names


if __name__ == "__main__":
    model, file, threads = sys.argv[1:]
    it = Worker(model, file, int(threads))
    serve({"ready": lambda: None, "settle": it.settle, "run": it.run})
