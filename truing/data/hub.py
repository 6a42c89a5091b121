"""Data sets of the Hugging Face hub: `hf:OWNER/NAME`, `hf:OWNER/NAME@REVISION`, `hf:OWNER/NAME/data/train-*.parquet`.

Files are fetched through huggingface_hub into its cache, all of one commit. A repository that holds several sets
(splits) is refused with their names unless a pattern chooses one; the code of a repository is never run.
"""

import re
from fnmatch import fnmatch
from pathlib import Path

from truing.core.errors import InputError
from truing.data.files import READERS

PREFIX = "hf:"
_SHARD = re.compile(r"-\d{5}-of-\d{5}")


def fetch(source: str, endpoint: str | None = None) -> list[Path]:
    """The local files of a source. Raises `InputError` if it cannot be had or does not say which files are meant."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    owner, name, pattern = (*source.removeprefix(PREFIX).split("/", 2), "", "")[:3]
    name, _, revision = name.partition("@")
    if not owner or not name:
        raise InputError(f"{source}: write a data set of the hub as hf:OWNER/NAME, or hf:OWNER/NAME/FILE")
    api, repository = HfApi(endpoint=endpoint), f"{owner}/{name}"
    try:
        info = api.dataset_info(repository, revision=revision or None)
        names = sorted(one.rfilename for one in info.siblings or [])
        return [
            Path(api.hf_hub_download(repository, one, repo_type="dataset", revision=info.sha))
            for one in _chosen(source, names, pattern)
        ]
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{source} could not be fetched ({reason}); check the name and the network") from None


def _chosen(source: str, names: list[str], pattern: str) -> list[str]:
    """The data files that a pattern matches, or without one those of the only set. Raises `InputError`."""
    data = [name for name in names if name.removesuffix(".gz").rpartition(".")[2] in READERS and name[0] != "."]
    if pattern:
        data = [name for name in data if fnmatch(name, pattern)]
    sets = sorted({_SHARD.sub("-*", name) for name in data})
    if not sets:
        raise InputError(f"{source}: no such file of comparisons; the repository holds {', '.join(names[:10])}")
    if len(sets) > 1 and not pattern:
        raise InputError(f"{source} holds several sets; name one of {', '.join(sets[:10])}: {source}/{sets[0]}")
    return data
