"""What the verb `benchmark` measures: a local model, bare or with an adapter, or a deployed one.

Both keep their answers as soon as they are there. A local model's are kept by content, for any later run. A deployed
model's carry their time, and count again only for whoever says since when (`Deployed`).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import truing
from truing.core.digest import digest
from truing.core.errors import InputError, RunError
from truing.core.records import Conversation, Probe, Question
from truing.evals.observed import observations, write_observations
from truing.evals.task import Subject, Task
from truing.ledger.disk import write_durably
from truing.ledger.ledger import Ledger
from truing.loops.context import Context, Deployed
from truing.loops.events import Notice
from truing.loops.recipe import Step
from truing.loops.verbs.evaluation import open_local
from truing.providers.draws import with_system
from truing.providers.names import PROVIDERS
from truing.providers.observed import Observed

if TYPE_CHECKING:
    from truing.providers.remote import RemoteSystem

_BEGAN = "began"


@dataclass(frozen=True)
class Measured:
    """A system that is open. `render` gives a dialogue exactly as it is sent, `template` is the digest of the chat
    template that makes it so (empty where a server has it), `libraries` are what answers.

    `notices` is what to say before anything is asked. `finish` writes what is to be kept beside the items, and returns
    what the artifact's metrics say of it.
    """

    subject: Subject
    render: Callable[[Conversation], str]
    template: str
    libraries: Sequence[str]
    notices: Sequence[Notice] = ()
    finish: Callable[[Path], dict[str, float | str | None]] = lambda _folder: {}

    def as_sent(self, asked: Any) -> dict[str, str]:
        """A task's first prompt exactly as it is sent (of a choice: with the first one), and the template's digest."""
        if isinstance(asked, Question):
            return {"first_prompt": asked.context + asked.choices[0], "template": ""}
        return {"first_prompt": self.render(asked.prompt), "template": self.template}

    def versions(self) -> dict[str, str]:
        """Of truing and of what answers."""
        return {"truing": truing.__version__, **{name: version(name) for name in self.libraries}}


@contextmanager
def open_measured(step: Step) -> Iterator[Measured]:
    """Open what a step measures. What stops a deployed model's answers (`RunError`) is told with how to go on."""
    adapter = step.parent_folder("adapter") if "adapter" in step.parents else None
    if step.context.deployed is None:
        system, close = open_kept(step.context, adapter)
        try:
            yield system
        finally:
            close()
        return
    if adapter is not None:
        raise InputError(f"[{step.name}] an adapter needs weights, and {step.context.model.name} is a deployed model")
    try:
        yield _deployed(step, step.context.deployed)
    except RunError as error:
        raise RunError(f"{error}; with --resume the same command goes on with what is missing") from None


def open_kept(context: Context, adapter: Path | None) -> tuple[Measured, Callable[[], None]]:
    """A local model, whose answers and scores are kept by content, and what closes it."""
    from truing.providers.stored import Stored

    system, _, close = open_local(context, adapter)
    kept = Stored(system, system, system.identity, context.ledger.store)
    subject = Subject(context.model.name, kept, system, system.misfit, kept, system.start)
    template = digest(system.chat.tokenizer.chat_template)
    return Measured(subject, system.chat.render, template, ("torch", "transformers"), list(context.notices())), close


def _deployed(step: Step, deployed: Deployed) -> Measured:
    remote, began = step.context.remote, datetime.now(UTC)
    since, notice = count_since(step.context.ledger, step.key, remote, deployed, began)
    observed = Observed(remote, remote.identity, step.context.ledger.store, since)

    def render(prompt: Conversation) -> str:
        return _plain(with_system(prompt, remote.system_prompt))

    def finish(folder: Path) -> dict[str, float | str | None]:
        if not observed.given:  # no task asked anything
            return {}
        given = sorted(observed.given.values(), key=lambda one: one[1].observed.time)  # type: ignore[union-attr]
        lines = [f'{{"prompt": {render(prompt)}, "answer": {answer.model_dump_json()}}}\n' for prompt, answer in given]
        (folder / "observed.jsonl").write_text("".join(lines), encoding="utf-8")
        found = observations([answer for _, answer in given], remote, began)
        write_observations(folder, found)
        return {
            "answers_first": found.first.isoformat(),
            "answers_last": found.last.isoformat(),
            "answers_missing": float(sum(found.missing.values())),
            "reported_model": ", ".join(filter(None, found.reported_models)),
            "requests": float(found.requests),
            "prompt_tokens": float(found.prompt_tokens),
            "output_tokens": float(found.output_tokens),
            "cost": found.cost,
        }

    library = PROVIDERS[remote.provider]
    return Measured(Subject(remote.name, observed, None), render, "", (library,), [notice], finish)


def count_since(
    ledger: Ledger, key: str, remote: "RemoteSystem", deployed: Deployed, now: datetime
) -> tuple[datetime, Notice]:
    """From when on answers count in the step of this key, and a sentence on it. The time is kept until the step is
    whole, so that a later run can resume this one. Raises `InputError` where there is none to resume."""
    path = ledger.workspace(key) / _BEGAN
    earlier = datetime.fromisoformat(path.read_text(encoding="utf-8")) if path.is_file() else None
    if deployed.resume and earlier is None:
        ledger.discard_workspace(key)
        raise InputError(
            f"there is no unfinished evaluation of {remote.name} at {remote.address} with these tasks and settings; "
            "leave --resume out to ask everything anew, or name the time of answers that count with --since"
        )
    since = (earlier if deployed.resume else deployed.since) or now
    write_durably(path, since.isoformat().encode())
    asked = f"{remote.name} is asked at {remote.address}"
    if since != now:
        return since, Notice(text=f"{asked} for what it has not answered since {_shown(since)}")
    other = "" if earlier is None else f" (--since {_shown(earlier)} would count those of a run that did not finish)"
    return since, Notice(text=f"{asked}, for every answer anew{other}; after a stop, --resume goes on from there")


def _shown(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _plain(prompt: Conversation) -> str:
    return json.dumps([message.model_dump() for message in prompt], ensure_ascii=False)


def check_deployed(context: Context, tasks: Sequence[Task], folders: Mapping[str, Path]) -> None:
    """Raise `InputError` where a deployed model cannot be asked (its key or library is missing), and naming the tasks
    that compare log-probabilities of given texts, which it does not give. Reads the sets, and asks nobody."""
    name = context.remote.name
    if harness := [task.name for task in tasks if task.content is not None]:
        raise InputError(
            f"{', '.join(harness)}: tasks of lm-evaluation-harness are asked of local models, and {name} is none"
        )
    first = {task.name: next(iter(task.read(folders[task.name]).rows), None) for task in tasks}
    scoring = [task.name for task in tasks if first[task.name] and _compares(task.asks(first[task.name]))]
    if scoring:
        others = [task.name for task in tasks if task.name not in scoring]
        rest = f"ask it for {', '.join(others)} alone" if others else "choose tasks that judge answers"
        raise InputError(
            f"{', '.join(scoring)}: {'these compare' if len(scoring) > 1 else 'this compares'} log-probabilities of "
            f"given texts, which {name} does not give; {rest}, or measure a local model"
        )


def _compares(asked: Question | Probe) -> bool:
    """Whether given texts are compared: the choices of a question, or two answers to a prompt."""
    return isinstance(asked, Question) or asked.rejected is not None
