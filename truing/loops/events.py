"""What a recipe yields while it runs, beside the records of training and evaluation."""

from truing.core.records import Record
from truing.ledger.artifacts import Artifact


class Reading(Record):
    """The model's files are about to be read for the first time; the embedded model is unpacked here once."""

    what: str


class Notice(Record):
    """Something that whoever runs this should know, said once."""

    text: str


class StepStarted(Record):
    """A step begins to compute."""

    step: str
    verb: str


class StepWaiting(Record):
    """Another process runs this very step; `holder` says which. It is reused when it is done."""

    step: str
    holder: str


class StepDone(Record):
    """A step ended with an artifact; `reused` if a run with the same inputs had made it before."""

    step: str
    verb: str
    artifact: Artifact
    reused: bool
    seconds: float


class Total(Record):
    """How many items the running step will yield."""

    items: int


class RunStarted(Record):
    """One of several runs of a recipe begins: which of how many, what it changes, and how many of its steps are there
    already."""

    number: int
    of: int
    label: str
    seed: int
    steps: int
    reused: int


class RunDone(Record):
    """It ended: the measured evaluation, the names of the steps that it ran and that it reused, the seconds of the
    former, and the tokens that passed through all training behind the evaluation (None: not known)."""

    label: str
    seed: int
    evaluation: Artifact
    ran: tuple[str, ...]
    reused: tuple[str, ...]
    seconds: float
    tokens: int | None
