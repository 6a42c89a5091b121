"""The table of verbs: a new one is one file beside these and one entry here."""

from truing.loops.recipe import Verb
from truing.loops.verbs.benchmark import Benchmark
from truing.loops.verbs.dataset import Dataset
from truing.loops.verbs.evaluation import Evaluate
from truing.loops.verbs.gating import Gate
from truing.loops.verbs.judge import Judge
from truing.loops.verbs.judged import JudgedAnswers
from truing.loops.verbs.pairwise import PairwiseAnswers
from truing.loops.verbs.policy import POLICY_GRADIENTS
from truing.loops.verbs.rejudge import Rejudge
from truing.loops.verbs.reporting import Report
from truing.loops.verbs.reward import Reward
from truing.loops.verbs.running import GateRunning
from truing.loops.verbs.training import SFT, Preference, Unpaired

_TRAINERS = (SFT(), Preference(), Unpaired(), Reward(), *POLICY_GRADIENTS)
_JUDGING = (Judge(), Rejudge(), PairwiseAnswers())
_VERBS = (Dataset(), JudgedAnswers(), *_TRAINERS, Evaluate(), Gate(), Report(), Benchmark(), *_JUDGING, GateRunning())
VERBS: dict[str, Verb] = {verb.name: verb for verb in _VERBS}
