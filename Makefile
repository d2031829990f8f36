# What a newcomer needs: `make demo` and `make test`. Needs Python >= 3.11, git and make; each target makes what it needs.

.DEFAULT_GOAL := help
.PHONY: help demo test frameworks lint audit check chaos parity lock wheel clean

# Everything that goes into the distribution: when one of them changes, the demo is installed again.
PARTS := $(shell find sdk agent server cli -name __pycache__ -prune -o -name vendor -prune -o -type f -print 2>/dev/null)
PYTEST_ARGS ?=
TORCH ?= torch==2.13.0

help:
	@echo "make demo     optimize examples/digits: 30 trials of a neural network, with the page"
	@echo "make test     run the tests           (PYTEST_ARGS=\"-k journal\" for some)"
	@echo "make frameworks   the tests with Keras, PyTorch, Lightning, Transformers, MLflow: 2 GB"
	@echo "make check    ruff, mypy, pyright, bandit, pip-audit, then the tests"
	@echo "make chaos    break it on purpose, in full: kills, cuts, full disks, bad requests (SEED=n again the same way)"
	@echo "make parity   the search against hyperopt's in full: 200 trials of every space, any order of events (minutes)"
	@echo "make wheel    build dist/bough-*.whl, with the page"
	@echo "make clean    remove the environments and what was built"

# First on PATH, as after `activate`: otherwise the trials would be run by whatever other `python` the machine has.
demo: .venv/.installed
	@PATH="$(CURDIR)/.venv/bin:$$PATH" bough optimize examples/digits
	@echo "         (bough is in .venv here: . .venv/bin/activate)"

# A normal installation, as a user would have it: an editable one costs every Python start some milliseconds.
.venv/.installed: setup.py pyproject.toml $(PARTS)
	@sh make/environment .venv ".[server]"
	@touch $@

test: .venv-test/.installed
	@.venv-test/bin/python -m pytest -n 3 --dist loadfile $(PYTEST_ARGS)

# Editable: only a change of the dependencies or of the page's pinned packages asks for a new installation.
.venv-test/.installed: setup.py pyproject.toml server/bough_server/web/package-lock.json
	@sh make/environment .venv-test -e ".[all,dev]"
	@touch $@

# The tests of the frameworks that are too large for .venv-test: two gigabytes. PyTorch comes first, from its index of CPU
# wheels: those of PyPI bring CUDA along. Asking that index for everything else would only cost time.
frameworks: .venv-frameworks/.installed
	@.venv-frameworks/bin/python -m pytest $(PYTEST_ARGS) tests/integration/frameworks tests/integration/recorded/test_history.py

.venv-frameworks/.installed: setup.py
	@PIP_RETRIES=1 sh make/environment .venv-frameworks --index-url https://download.pytorch.org/whl/cpu $(TORCH)
	@sh make/environment .venv-frameworks -e ".[all,dev]" $(TORCH) keras jax lightning transformers accelerate pandas mlflow
	@touch $@

lint: .venv-test/.installed
	@.venv-test/bin/python -m ruff check .
	@.venv-test/bin/python -m mypy
	@.venv-test/bin/python -m pyright --pythonpath .venv-test/bin/python

# What is installed is looked up for known holes; without a way to the database it says so and goes on.
audit: .venv-test/.installed
	@.venv-test/bin/python -m bandit -q -r sdk agent server cli -c pyproject.toml
	@sh make/audit .venv-test/bin/python

check: lint audit test

# In full what CI does in short: a line of counts per scenario. Another seed each time; SEED=n is that schedule again.
SEED := $(or $(SEED),$(shell date +%s))
chaos: .venv-test/.installed
	@echo "seed $(SEED): again the same way with  make chaos SEED=$(SEED)"
	@BOUGH_CHAOS=full BOUGH_MALFORMED=10000 BOUGH_SLOW_CLIENTS=500 BOUGH_SEED=$(SEED) .venv-test/bin/python -m pytest \
	    tests/chaos tests/integration/supervisor/test_zoo.py tests/security/test_malformed.py tests/security/test_slow_clients.py -q -s --timeout 3000

# Every ask of two hundred in a row from a new process, on every space; and many more orders of events than in CI.
parity: .venv-test/.installed
	@BOUGH_PARITY=1 BOUGH_ANY_ORDER=$${BOUGH_ANY_ORDER:-500} .venv-test/bin/python -m pytest -n 2 --dist loadfile -q --timeout 3000 \
	    tests/integration/optimizers tests/integration/server/test_parity.py tests/integration/server/test_any_order.py

# Pinned with hashes, for installations that shall be the same again: pip install --require-hashes -r make/lock.txt
lock: .venv-test/.installed
	@.venv-test/bin/python make/lock.py > make/lock.txt

wheel: .venv-test/.installed
	@.venv-test/bin/python -m build --wheel --outdir dist

clean:
	rm -rf .venv .venv-test .venv-frameworks build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf server/bough_server/web/vendor
	find sdk agent server cli tests examples -name __pycache__ -type d -prune -exec rm -rf {} +
