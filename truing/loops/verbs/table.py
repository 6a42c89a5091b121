"""The table of verbs: a new one is one file beside these and one entry here."""

from truing.loops.recipe import Verb
from truing.loops.verbs.benchmark import Benchmark
from truing.loops.verbs.dataset import Dataset
from truing.loops.verbs.evaluation import Evaluate
from truing.loops.verbs.gating import Gate
from truing.loops.verbs.judge import Judge
from truing.loops.verbs.judged import JudgedAnswers
from truing.loops.verbs.latency import MeasureLatency
from truing.loops.verbs.pairwise import PairwiseAnswers
from truing.loops.verbs.policy import POLICY_GRADIENTS
from truing.loops.verbs.rejudge import Rejudge
from truing.loops.verbs.reporting import Report
from truing.loops.verbs.reward import Reward
from truing.loops.verbs.running import GateRunning
from truing.loops.verbs.training import SFT, Preference, Unpaired

_TRAINERS = (SFT(), Preference(), Unpaired(), Reward(), *POLICY_GRADIENTS)
_MEASURES = (Evaluate(), Benchmark(), MeasureLatency(), Gate(), GateRunning())
_JUDGES = (Judge(), Rejudge(), PairwiseAnswers())
_VERBS = (Dataset(), JudgedAnswers(), *_TRAINERS, *_MEASURES, *_JUDGES, Report())
VERBS: dict[str, Verb] = {verb.name: verb for verb in _VERBS}
