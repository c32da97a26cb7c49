# Thin: every target is one line that calls the real tool. Options for it: make test ARGS="-k laplace"
.PHONY: onboard test check bench docs

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install -qq --disable-pip-version-check --constraint constraints.txt --editable
WORKERS := --numprocesses auto --maxprocesses 8 --dist worksteal
SPHINX := $(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --doctree-dir build/doctrees

onboard: .venv/.core
	@$(BIN)/prefq onboard $(ARGS)

test: check
	$(BIN)/pytest $(or $(ARGS),$(WORKERS))
	@$(MAKE) --no-print-directory docs

check: .venv/.dev
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(BIN)/lint-imports --no-logo

bench: .venv/.dev
	$(BIN)/python -m benchmarks.run $(ARGS)

docs: .venv/.dev
	$(SPHINX) -b doctest docs build/doctest && $(SPHINX) -b html docs build/html

# The environment: built by the first target that needs it, refreshed when the dependencies change.
$(BIN)/pip:
	@echo "Creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

.venv/.core: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing prefq into .venv (once, about a minute)"
	@$(INSTALL) .
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing prefq and its contributors' tools into .venv (once, a minute or two)"
	@$(INSTALL) '.[dev]'
	@touch $@ .venv/.core
