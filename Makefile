# make demo    train on synthetic people, in runs/demo
# make test    checks and the quick tests
# make test-all  also the slow tests, those against PyTorch, and those that need a real data set
# make docs    the site of docs/ in docs/_build/html; warnings and dead links are errors
# make lock    requirements.txt and requirements-dev.txt anew, from pyproject.toml
# make mutants  hours: makes one wrong change after the other, and sees whether a test fails
# make chaos   kill, fill, cut and flip what a run needs, and count what is lost (docs/design/reliability.md)
PYTHON ?= python3
BIN := .venv/bin
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --no-annotate \
	--custom-compile-command 'make lock' $(LOCK)

.PHONY: demo test test-all docs chaos mutants check lock clean

demo: .venv/run
	$(BIN)/python -m pmm_jax demo

test: check
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-all: check .venv/all
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --all

# The notebook runs, on the CPU.
docs: .venv/dev
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html

mutants: .venv/torch
	$(BIN)/python -m tests.mutants

chaos: .venv/dev
	$(BIN)/python -m tests.chaos

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy pmm_jax benchmarks configs tests train.py eval.py

.venv/run: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/dev: .venv/run requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.venv/torch: .venv/dev requirements-torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-torch.txt
	touch $@

.venv/all: .venv/torch requirements-all.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-all.txt
	touch $@

# The ranges are in pyproject.toml. Pins stay where these allow; LOCK=--upgrade takes the newest.
lock: .venv/run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(COMPILE) -o requirements.txt
	$(COMPILE) -o requirements-dev.txt --extra dev -c requirements.txt

clean:
	rm -rf .venv runs/demo data/synthetic docs/_build
