# make demo   the whole study in minutes, into runs/demo     make test   the tests
# make lab    the notebooks in JupyterLab                     make figures RUN=runs/demo   draw again, no model runs
# make docs   the pages of docs/ as a site in site/           make audit   known vulnerabilities of the pinned packages
PYTHON ?= python3.11
VENV ?= .venv
RUN ?= runs/demo
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: setup demo test lab lint audit figures readme-figures docs lock clean

setup: $(INSTALLED)

# torch first and alone, so that a CPU build that pip can find is taken before anything asks for another one
$(INSTALLED): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' requirements.lock)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

demo: setup
	$(BIN)/semcse run demo

test: setup
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=90

# The address is that of the first notebook, the root the repository, so that runs and examples can be opened too.
lab: export PYTHONWARNINGS = ignore:IProgress not found
lab: setup
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/01_data_sampling.ipynb

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify notebooks/*.ipynb examples/*.ipynb
	$(BIN)/mypy

# Known vulnerabilities of the pinned packages. AUDIT=--if-reachable: no error where the service does not answer.
audit: setup
	$(BIN)/python .ci/audit.py $(AUDIT)

figures: setup
	$(BIN)/semcse figures $(RUN)

# The pictures that the README shows, from a finished run.
readme-figures: figures
	cp $(addprefix $(RUN)/figures/,tsne.png training_curves.png explained_variance.png) figures/

# Sphinx and its theme are no part of the pinned environment; what they share with it stays as it is pinned.
docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock -e '.[docs]'
	$(BIN)/python docs/parameters.py
	$(BIN)/python -m sphinx -W --keep-going -d build/docs docs site

# Pin anew; the local version of a CPU build is dropped, so that other machines find theirs.
lock: setup
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//' | LC_ALL=C sort -f > requirements.new
	{ head -1 requirements.lock; cat requirements.new; } > requirements.lock.tmp && mv requirements.lock.tmp requirements.lock
	rm requirements.new

clean:
	rm -rf $(VENV) runs .pytest_cache .ruff_cache .mypy_cache .coverage build dist site
