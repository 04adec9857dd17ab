# make demo    train on people made up, in runs/demo
# make test    checks and the quick tests
# make test-all  also the slow tests, those against PyTorch, and those that need a real data set
# make mutants  hours: makes one wrong change after the other, and sees whether a test fails
# make chaos   kill, fill, cut and flip what a run needs, and count what is lost (docs/reliability.md)
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all chaos mutants check clean

demo: .venv/run
	$(BIN)/python -m pmm_jax synthesize data/synthetic
	$(BIN)/python train.py --config configs/demo.py --workdir runs/demo
	$(BIN)/python -m benchmarks.color_floor data/synthetic

test: check
	$(BIN)/python -m pytest -n auto --dist loadfile

test-all: check .venv/torch
	$(BIN)/python -m pytest -n auto --dist loadfile --all

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

clean:
	rm -rf .venv runs/demo data/synthetic
