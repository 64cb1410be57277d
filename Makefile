# make demo   set up, train a real language model by RL in ten minutes, show what it learned
# make test   set up, then lint, types, import layers and tests, by WORKERS=2 processes; the longest files come first
# make setup  install into .venv and nothing else
# make bench  speed beside the peers, in one run; QUICK=1 for a form of 15 minutes, JSON=FILE for everything in a file

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test types tests bench clean

setup: $(STAMP)

# PyTorch's own index of CPU builds is preferred where it can be reached and there is no GPU: a tenth of the download.
$(STAMP): pyproject.toml constraints.txt tools/setup.sh
	PYTHON="$(PYTHON)" bash tools/setup.sh
	@touch $@

demo: setup
	$(BIN)/assay train recipes/arithmetic_rlvr/demo.toml --set max_memory=3.7 $(ARGS)

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory --jobs 2 types tests

# Side by side: pyright takes one core for a minute or two.
types:
	$(BIN)/pyright

tests:
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

bench: setup
	$(BIN)/python benchmarks $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON)) $(ARGS)

clean:
	rm -rf .venv
