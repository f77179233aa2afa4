# `make book` builds the book, `make test` tests everything; each sets up what it needs. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
TORCH_INDEX ?=# an index with CPU-only wheels, see README.md
STUDENTS ?=# 1: a copy without solutions and instructor's pages, in _build/students

.DEFAULT_GOAL := help
.PHONY: help setup book serve pdf figures lab test lint unit nbval browser notebooks bench trainings kernels links lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(READY) ## create .venv and install what requirements.lock pins

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "The course needs Python 3.11 or newer; this is " \
	  + sys.version.split()[0] + ". Try `make PYTHON=python3.12`.")'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
ifeq ($(strip $(TORCH_INDEX)),)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
else
	$(PY) -m pip install --quiet --index-url $(TORCH_INDEX) $$(grep -oE '^torch(vision)?==[^ ]+' requirements.lock)
	awk '/^[^ #]/ { drop = /^(nvidia-|cuda-|triton|torch(vision)?==)/ } !drop' requirements.lock > $(VENV)/cpu.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/cpu.lock
endif
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

book: $(READY) ## build the book into _build/html; STUDENTS=1: without solutions, into _build/students/html
	$(PY) tools/book.py build $(if $(filter-out 0,$(STUDENTS)),--students)

serve: book ## build the book and serve it on localhost
	$(PY) tools/book.py serve $(if $(filter-out 0,$(STUDENTS)),--students)

pdf: book ## print the whole course into _build/course.pdf (needs Chromium)
	$(PY) tools/pdf.py

figures: book ## write each figure of the book as a file into _build/figures
	$(PY) tools/figure_files.py

lab: $(READY) ## open JupyterLab on the labs
	@mkdir -p labs
	$(PY) -m jupyterlab labs

test: $(READY) ## all five parts, each whatever became of the others; what failed is named at the end
	$(PY) tools/check.py

lint: $(READY) ## ruff (lint and format), mypy, labs against their solutions
	$(PY) tools/check.py lint

unit: $(READY) ## unit tests and the examples in docstrings
	$(PY) tools/check.py unit

nbval: $(READY) ## re-run clean labs and solutions; the solutions' outputs must be what is stored
	$(PY) tools/check.py nbval

browser: book ## widgets and built pages in Chromium, JupyterLab and Firefox
	$(PY) tools/check.py browser

notebooks: $(READY) ## re-execute the solutions and regenerate the labs
	$(PY) tools/labs.py execute
	$(PY) tools/labs.py generate

bench: $(READY) ## compare speed with the peers and write book/benchmarks.md
	$(PY) -m benchmarks --write

trainings: $(READY) ## repeat the trainings whose results stand in the chapters (an hour on two cores)
	$(PY) -m benchmarks.trainings --write

kernels: $(READY) ## compile what runs networks in the page (needs clang and lld)
	$(PY) tools/kernels.py

links: $(READY) ## try every link that leaves the book (needs a network)
	$(PY) tools/book.py links

lock: $(READY) ## pin the newest versions that pyproject.toml allows
	$(PY) -m uv pip compile --quiet --generate-hashes --universal --no-emit-index-url --upgrade --python-version 3.11 --extra dev \
	  --output-file requirements.lock pyproject.toml

clean: ## remove what was built; .venv, progress and edited labs stay
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -not -path './labs/*' -prune -exec rm -rf {} +
