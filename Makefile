# The commands to work with. Each one sets up .venv with what it needs, pinned by hash, and uses it.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate pyproject.toml

# The first lines of requirements.txt: where a reader finds which function needs what.
define PINS_HEAD
# What the functions need on Google Cloud, pinned by `make lock`: the extras `server` and `gcp` in pyproject.toml.
# A comment beside each direct requirement there names the functions that need it. All other pins are theirs.
endef
export PINS_HEAD

.PHONY: demo test lint format bench load coverage soak mutants simulate package wheel docs lock clean

demo: .venv/.local  ## run a whole rotation on this machine, from an empty folder to a retired secret
	@$(BIN)/keyturn demo

test: .venv/.dev  ## run all tests; without the emulators some are skipped (REQUIRE_EMULATORS=1: they fail)
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.dev  ## run every check that a commit must pass
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@if command -v terraform >/dev/null; then terraform fmt -check -recursive terraform; \
	else echo "terraform fmt: skipped, because terraform is not installed"; test -z "$(REQUIRE_EMULATORS)"; fi

format: .venv/.dev  ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.dev  ## measure all ratios in one run and write build/bench.json; ROWS="a b" measures these rows only
	@$(BIN)/python -m bench $(ROWS)

load: .venv/.dev  ## measure many rotations at once on the emulators: FEW=50 in three groups, MANY=1000 in one
	@$(BIN)/python -m bench.load $(or $(FEW),50) $(or $(MANY),1000)

coverage: .venv/.dev  ## require 95 % branch coverage of the MLS library
	@$(BIN)/coverage run --source shared/keyturn/mls -m pytest -q tests/mls -p no:cacheprovider --ignore tests/mls/test_machine.py
	@$(BIN)/coverage report --fail-under 95

soak: .venv/.dev  ## run the long tests: MLS sequences, verifiers in several processes, ten million checks, 200 kills
	KILL_LOOP_KILLS=200 $(BIN)/python -m pytest -s tests/local/test_kill_loop.py
	MLS_SEQUENCES=10000 $(BIN)/python -m pytest tests/mls/test_machine.py
	VERIFIER_HISTORIES=100000 $(BIN)/python -m pytest -n 2 tests/verifier/test_histories.py
	VERIFIER_SECONDS=600 $(BIN)/python -m pytest -s tests/verifier/test_processes.py
	VERIFIER_CHECKS=10000000 $(BIN)/python -m pytest -s tests/verifier/test_soak.py

mutants: .venv/.dev  ## compute the mutation score of the MLS library's validating parts
	$(BIN)/mutmut run && $(BIN)/mutmut results

simulate: .venv/.dev  ## simulate the whole suite under faults: SEEDS=100 FIRST=0, or the story of one SEED=7
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),100) --first $(or $(FIRST),0) \
	$(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(REPORT),--report $(REPORT))

package:  ## write the archive that all functions are deployed from, and print its path; installs nothing
	@test -n "$(PYTHON)" || { echo "keyturn requires Python 3.11 or later." >&2; exit 1; }
	@PYTHONPATH=shared $(PYTHON) -m keyturn.local.package

wheel: .venv/.dev  ## build the wheel and the source distribution into dist/, and print their paths
	@rm -f dist/keyturn-*
	@$(BIN)/uv build --quiet --out-dir dist >&2
	@ls dist/keyturn-*

docs: .venv/.dev  ## write docs/settings.md from the code
	@$(BIN)/python -m keyturn.entry.config.reference > docs/settings.md

lock: .venv/.dev  ## resolve the pinned versions again
	$(COMPILE) --extra server --extra gcp --output-file requirements.txt
	@{ printf "%s\n" "$$PINS_HEAD"; cat requirements.txt; } > requirements.new && mv requirements.new requirements.txt
	$(COMPILE) --extra cli --extra server --output-file requirements/local.txt
	$(COMPILE) --all-extras --group dev --output-file requirements/dev.txt

clean:  ## delete everything that these commands created
	rm -rf .venv build dist

.venv/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "keyturn requires Python 3.11 or later, with venv (Debian: python3-venv)." >&2; exit 1; }
	@echo "Creating .venv with $(PYTHON) …" >&2
	@$(PYTHON) -m venv .venv >&2

.venv/.local: .venv/pyvenv.cfg requirements/local.txt pyproject.toml
	@$(INSTALL) --require-hashes -r requirements/local.txt >&2
	@$(INSTALL) --no-deps --editable . >&2
	@touch $@

.venv/.dev: .venv/.local requirements/dev.txt
	@$(INSTALL) --require-hashes -r requirements/dev.txt >&2
	@touch $@
