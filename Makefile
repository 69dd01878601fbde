# Every target sets up what it needs: a virtual environment in .venv with the pinned versions.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help reproduce first-words reproduce-digits test soak coverage lint format bench readme docs clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 20

reproduce: first-words $(VENV)/.installed  ## the first look: eight starts on small digits, in about a minute
	@$(BIN)/zeroinit reproduce

first-words:
	@echo "The first look: 70 short trainings on digits that come with scikit-learn. About a minute on two cores."

reproduce-digits: $(VENV)/.installed  ## the paper's figures on small digits, in 5 to 10 minutes
	$(BIN)/zeroinit reproduce --profile quick --results results/quick --report report/digits

# The tests start Python many times: bytecode is kept, also where the environment says not to.
test: $(VENV)/.installed-dev  ## the default tests: 6 to 12 minutes on two cores, no network, no GPU
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist worksteal

soak: $(VENV)/.installed-dev  ## 200 kills, crowds on one folder, 500 damaged files: up to an hour
	$(BIN)/python -m pytest -m soak tests/soak -s

coverage: $(VENV)/.installed-dev  ## the default tests with line coverage of src
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --fail-under=95

lint: $(VENV)/.installed-dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## put the code into the project's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev  ## what is fast, against what: ratios within one run
	$(BIN)/python benchmarks/mnist_epoch.py
	$(BIN)/python benchmarks/seeds.py
	$(BIN)/python benchmarks/paper_speed.py
	$(BIN)/python benchmarks/inspector.py
	$(BIN)/python benchmarks/watch.py
	$(BIN)/python benchmarks/startup.py

readme: $(VENV)/.installed  ## reports under docs/results and the README's tables, from stored runs
	$(BIN)/python docs/tables.py

docs: $(VENV)/.installed-docs  ## the site as static files: build/site/index.html; offline once installed
	$(BIN)/python -m sphinx -W --keep-going -q -j auto -d build/doctrees docs build/site

clean:  ## remove the environment and caches; results stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .coverage*

# torch first: with it in place, no other package pulls in a second build. A line every ten seconds says how far pip is.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "zeroinit needs Python 3.11 or newer; try: make PYTHON=python3.11 ..."; exit 2; }
	@echo "Once before that: pip installs torch and about 55 packages into $(VENV). 1.5 GB, with CUDA more; 1 to 5 minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@( while sleep 10 && kill -0 $$$$ 2>&-; do echo "installing: $$(du -sm $(VENV) | cut -f1) MB so far"; done ) & \
	trap "kill $$!" EXIT; $(PIP) torch && $(PIP) --editable '.[bench]'
	@touch $@
	@echo "installed"

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[test,lint]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --editable '.[bench,docs]'
	touch $@
