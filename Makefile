# infer: `make venv` once, then any of these. `make test` is what CI runs.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --max-worker-restart 1

.NOTPARALLEL:
.PHONY: help venv demo test quick lint format types docs validation bench clean

help:
	@grep -E '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

venv: $(STAMP) ## make .venv with the pinned versions (done again only when they change)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	touch $@

demo: $(STAMP) ## two measurements, and whether an interval covers, from the command line
	$(BIN)/infer measure workspaces/higgs_mass.json
	$(BIN)/infer measure workspaces/measurement.json --out demo-report/
	$(BIN)/infer coverage workspaces/search.json --n 500 --poi-values 0,1 --method profile,hessian

test: lint types docs ## everything: lint, types, docs and the whole test suite
	$(PYTEST)

quick: $(STAMP) ## the tests that take seconds
	$(PYTEST) -m 'not slow'

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

docs: $(STAMP) ## build the site, executing every notebook; warnings are errors
	$(BIN)/python -m sphinx -q -W -n --keep-going docs docs/_build/html

validation: $(STAMP) ## likelihoods, fits and limits against pyhf and verified minima; coverage, calibration of posteriors
	$(BIN)/python -m validation pyhf
	$(BIN)/python -m validation limits
	$(BIN)/python -m validation coverage
	$(BIN)/python -m validation sbc

bench: $(STAMP) ## fits, toys and inference, beside other tools where they are installed
	$(BIN)/python -m validation bench fit
	$(BIN)/python -m validation bench inference
	$(BIN)/python -m validation bench toys

clean: ## remove what was built, keep .venv
	rm -rf build dist demo-report docs/_build docs/reference docs/jupyter_execute .cache .hypothesis
	find infer tests -name __pycache__ -type d -prune -exec rm -rf {} +
