"""Memory: what is counted is what autograd keeps, and a control group's limit is believed."""

from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from truing.engine.adapters import AdapterConfig, add_adapter
from truing.engine.memory import Shape, available_bytes
from truing.engine.tree import Forest, TokenSequence, build_forest
from truing.engine.trunk import Trunk

GB = 1 << 30


def forest_of(rows: int, shared: int, own: int) -> Forest:
    random = np.random.default_rng(0)
    return build_forest(
        [TokenSequence((*range(shared), *random.integers(50, 90, own).tolist()), shared) for _ in range(rows)]
    )


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    """Proportions of a real model (three query heads a key head), with an adapter on its last layer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 6, "num_key_value_heads": 2}
    config = LlamaConfig(vocab_size=100, num_hidden_layers=2, max_position_embeddings=1024, **sizes)
    made = Trunk.of(LlamaForCausalLM(config), tokenizer=None, name="small")
    add_adapter(made, "policy", AdapterConfig(rank=8, upper_layers=1), seed=0)
    return made


def kept_by_autograd(trunk: Trunk, forest: Forest) -> int:
    """Bytes of all distinct tensors, parameters left out, that one adapted layer saves for its backward pass."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in trunk.model.parameters()}
    saved: dict[int, Any] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        trunk.run_forest(forest, start=1, below=torch.randn(len(forest), 96))
    return sum(tensor.untyped_storage().nbytes() for key, tensor in saved.items() if key not in weights)


@pytest.mark.parametrize(("rows", "shared", "own"), [(40, 20, 20), (10, 20, 170), (2, 300, 300), (3, 0, 64)])
def test_what_a_layer_is_said_to_keep_is_what_autograd_keeps(trunk: Trunk, rows: int, shared: int, own: int) -> None:
    forest = forest_of(rows, shared, own)
    said = Shape.of(trunk.model.config, itemsize=4).kept(forest)
    assert 0.9 < said / kept_by_autograd(trunk, forest) < 1.35


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.fixture
def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine itself has 100 GB to spare."""

    class Memory:
        available = 100 * GB

    monkeypatch.setattr(psutil, "virtual_memory", Memory)


@pytest.mark.usefixtures("plenty")
def test_the_tightest_group_above_the_process_counts_in_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/team/job\n")
    root = tmp_path / "fs"
    write(root / "team", memory__max=8 * GB, memory__current=6 * GB, memory__stat="anon 5\ninactive_file 0")
    write(root / "team/job", memory__max="max", memory__current=GB, memory__stat="inactive_file 0")
    assert available_bytes(tmp_path / "cgroup", root) == 2 * GB
    write(root / "team/job", memory__max=2 * GB)
    assert available_bytes(tmp_path / "cgroup", root) == GB
    write(root / "team/job", memory__stat=f"inactive_file {GB // 2}")  # what the kernel would drop is free
    assert available_bytes(tmp_path / "cgroup", root) == GB + GB // 2


@pytest.mark.usefixtures("plenty")
def test_version_1_and_a_path_of_the_host_that_a_container_does_not_see(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("9:cpu:/\n4:memory:/docker/abc\n0::/\n")
    root = tmp_path / "fs"
    stat = "inactive_file 7\ntotal_inactive_file 0"
    write(
        root / "memory", memory__limit_in_bytes=4 * GB, memory__usage_in_bytes=GB, memory__stat=stat
    )  # seen from inside, the container's own group
    assert available_bytes(tmp_path / "cgroup", root) == 3 * GB
    write(root / "memory/docker/abc", memory__limit_in_bytes=GB, memory__usage_in_bytes=3 * GB, memory__stat=stat)
    assert available_bytes(tmp_path / "cgroup", root) == 0


@pytest.mark.usefixtures("plenty")
def test_without_control_groups_the_machine_counts(tmp_path: Path) -> None:
    assert available_bytes(tmp_path / "none", tmp_path) == 100 * GB
    (tmp_path / "cgroup").write_text("0::/\n")
    assert available_bytes(tmp_path / "cgroup", tmp_path) == 100 * GB
