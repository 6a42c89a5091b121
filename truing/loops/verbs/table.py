"""The table of verbs: a new one is one file beside these and one entry here."""

from truing.loops.recipe import Verb
from truing.loops.verbs.dataset import Dataset
from truing.loops.verbs.evaluation import Evaluate
from truing.loops.verbs.gating import Gate
from truing.loops.verbs.policy import POLICY_GRADIENTS
from truing.loops.verbs.reporting import Report
from truing.loops.verbs.training import SFT, Preference

VERBS: dict[str, Verb] = {
    verb.name: verb for verb in (Dataset(), SFT(), Preference(), Evaluate(), Gate(), Report(), *POLICY_GRADIENTS)
}
