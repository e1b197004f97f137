# One environment, .venv, made from pyproject.toml; every target sets itself up.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test browser check bench soak schemas rules faults fault-mutations recordings eval eval-better eval-worse clean

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "dbprompt needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[postgres,duckdb,diagram,prometheus,alembic,bash,evals,distributed,otel]' --group dev
	@touch $(READY)

demo: $(READY)
	$(BIN)/dbprompt design examples/marketplace.yaml --replay evals/recordings/postgres/marketplace.database_architect.json --out build/demo

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/test_docs.py  # `make check` runs the examples

browser: $(READY)
	$(BIN)/python -m pytest -m browser tests/browser

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto tests/test_docs.py

bench: $(READY)
	$(BIN)/python benchmarks/verify.py
	$(BIN)/python benchmarks/client.py

soak: $(READY)
	$(BIN)/python benchmarks/soak.py

schemas: $(READY)
	$(BIN)/python tests/test_schemas.py

rules: $(READY)
	$(BIN)/dbprompt rules --markdown > docs/rules.md

faults: $(READY)
	$(BIN)/python tests/faults/page.py

fault-mutations: $(READY)
	$(BIN)/python tests/faults/mutations.py

recordings: $(READY)
	$(BIN)/python evals/record_authored.py

# The two runs go side by side where make can keep apart what they say (GNU make 4).
EVAL := --again
BESIDE := $(if $(filter output-sync,$(.FEATURES)),-j2 --output-sync=target)
eval: $(READY)
	@echo "Two runs of the recorded suite, side by side, about a minute; each speaks when it is done."
	@$(MAKE) --no-print-directory $(BESIDE) eval-better eval-worse
	$(BIN)/dbprompt eval compare build/evals/postgres build/evals/worse --html build/evals/report.html

eval-better: $(READY)
	$(BIN)/dbprompt eval run evals/suites/postgres.yaml $(EVAL) --out build/evals/postgres

eval-worse: $(READY)
	$(BIN)/dbprompt eval run evals/suites/postgres.yaml --prompt evals/prompts/terse_architect/1.0.0 $(EVAL) --out build/evals/worse

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
