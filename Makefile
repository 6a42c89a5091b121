# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv from the locked set first.
PYTHON ?= python3
# Which torch: a user may choose a build, e.g. make demo TORCH="torch==2.13.0 --index-url <your index>".
TORCH ?= torch==2.13.0
BIN := .venv/bin
READY := .venv/.ready
BENCHMARKS := $(wildcard ../shared/data)

.PHONY: setup demo test check wheel-check bench-preference bench-reach bench-eval bench-rlhf lock clean

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "truing needs Python 3.11 or newer: make PYTHON=python3.12"'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)
	$(BIN)/truing demo $(if $(BENCHMARKS),--benchmarks $(BENCHMARKS)) $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/cli_reference.py --check
	$(BIN)/python scripts/models_page.py --check
	$(BIN)/python scripts/fault_table.py --check
	$(BIN)/python scripts/run_docs.py README.md
	$(BIN)/python scripts/run_docs.py --jobs 2 docs/*.md

# Build the wheel and use it in a clean environment; ARGS=--full installs the dependencies, too, --demo runs the demo.
wheel-check: $(READY)
	$(BIN)/python scripts/wheel_check.py $(ARGS)

# A DPO step of ours beside TRL's, in turn, on real pairs; needs the network for the peers' environments.
bench-preference: $(READY)
	$(BIN)/python benchmarks/preference/run.py --pairs ../shared/data/hh-rlhf/harmless_base_1800.jsonl.gz $(ARGS)

# Time to equal held-out accuracy: the default recipe beside adapters on all layers, and TRL's seconds a step.
bench-reach: $(READY)
	$(BIN)/python benchmarks/preference/reach.py $(ARGS)

# TruthfulQA's multiple choice beside lm-evaluation-harness: the same numbers, and each side's time; ARGS="--count 817": all.
bench-eval: $(READY)
	$(BIN)/python benchmarks/eval/run.py --questions ../shared/data/truthfulqa/hf_multiple_choice_817.json $(ARGS)

# A reward model's step, a PPO iteration, drawing and RLOO beside their peers, in turn; needs the network the first time.
bench-rlhf: $(READY)
	$(BIN)/python benchmarks/rlhf/run.py --pairs ../shared/data/hh-rlhf/harmless_base_1800.jsonl.gz $(ARGS)

# Resolve the newest allowed versions anew (needs the network); review the difference before committing it.
lock: $(READY)
	$(BIN)/python scripts/lock.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
