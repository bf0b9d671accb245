# A handful of verbs to work by. Each sets up .venv with what it needs, pinned by hash, and uses it.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate

.PHONY: demo test lint format bench coverage soak mutants package lock clean

demo: .venv/.local  ## the main job from nothing to retired, on this machine
	@$(BIN)/keyturn demo

test: .venv/.dev  ## all tests; tiers whose real parts are missing are named (REQUIRE_EMULATORS=1: they fail)
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.dev  ## what must pass before every commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@if command -v terraform >/dev/null; then terraform fmt -check -recursive terraform; \
	else echo "terraform fmt: not run (no terraform on this machine)"; test -z "$(REQUIRE_EMULATORS)"; fi

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.dev  ## ratios in one run; writes build/bench.json
	@$(BIN)/python -m bench

coverage: .venv/.dev  ## branch coverage of the MLS library, at least 95 %
	@$(BIN)/coverage run --source shared/keyturn/mls -m pytest -q tests/mls -p no:cacheprovider --ignore tests/mls/test_machine.py
	@$(BIN)/coverage report --fail-under 95

soak: .venv/.dev  ## what takes a while: MLS sequences; verifiers' histories, in processes and by the million
	MLS_SEQUENCES=10000 $(BIN)/python -m pytest tests/mls/test_machine.py
	VERIFIER_HISTORIES=100000 $(BIN)/python -m pytest -n 2 tests/verifier/test_histories.py
	VERIFIER_SECONDS=600 $(BIN)/python -m pytest -s tests/verifier/test_processes.py
	VERIFIER_CHECKS=10000000 $(BIN)/python -m pytest -s tests/verifier/test_soak.py

mutants: .venv/.dev  ## mutation score of the MLS library's validating parts
	$(BIN)/mutmut run && $(BIN)/mutmut results

package: .venv/.local  ## the one archive of all doors; prints where it is
	@$(BIN)/python -m keyturn.local.package

lock: .venv/.dev  ## resolve the pins anew
	$(COMPILE) --group doors --output-file requirements.txt
	$(COMPILE) pyproject.toml --output-file requirements/local.txt
	$(COMPILE) pyproject.toml --group dev --extra bench --output-file requirements/dev.txt

clean:
	rm -rf .venv build

.venv/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "keyturn needs Python 3.11 or later, with venv (Debian: python3-venv)."; exit 1; }
	@echo "setting up .venv with $(PYTHON), once …"
	@$(PYTHON) -m venv .venv

.venv/.local: .venv/pyvenv.cfg requirements/local.txt pyproject.toml
	@$(INSTALL) --require-hashes -r requirements/local.txt
	@$(INSTALL) --no-deps --editable .
	@touch $@

.venv/.dev: .venv/.local requirements/dev.txt
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@
