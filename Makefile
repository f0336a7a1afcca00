# make demo   trains a small Mask R-CNN and shows what it finds
# make test   runs the tests
# make lab    opens the course's notebooks in JupyterLab
# make docs   builds the site: guide, lessons, claims, API
# All make .venv first, where it is missing, and use it again later.
#
# Another Python: make PYTHON=/path/to/python3.12 test.  Slow tests left out:
# make PYTEST_ARGS='-m "not slow"' test.

VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
WORKERS ?= 2

# The first of these that is new enough.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,\
  $(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo $(p))) python3)

.DEFAULT_GOAL := help
.PHONY: help demo lab docs notebooks test lint lowest clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## Train on generated shapes and show what is found
	$(BIN)/maskrcnn-scratch demo --out demo

lab: $(VENV)/installed-course ## Open the course's notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=notebooks

# As many notebooks at a time as there are cores, so one thread each.
notebooks: $(VENV)/installed-course ## Build the notebooks from the lessons
	OMP_NUM_THREADS=1 $(BIN)/maskrcnn-scratch course build --jobs $(WORKERS)

# A warning is an error, and so is a link that leads nowhere. Two processes.
docs: $(VENV)/installed-docs ## Build the site: guide, lessons, claims, API
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -q -W --keep-going -j 2 docs docs/_build/html
	$(BIN)/python docs/_ext/check_site.py docs/_build/html

# Each test process computes with one thread: there are as many processes as cores.
test: $(VENV)/installed-dev ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

lint: $(VENV)/installed-dev ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The tests that lean on other libraries; the laws of the components need NumPy alone.
LOWEST := anatomy cli config checkpoint data_coco data_images data_transforms demo \
  doctor evaluation inference mask_rcnn misalignment nms packaging

lowest: .venv-lowest/installed ## Run part of the tests with the oldest libraries allowed
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n $(WORKERS) -m "not slow" \
	  $(LOWEST:%=tests/test_%.py)

clean: ## Remove the environments and caches, but no results
	rm -rf $(VENV) .venv-lowest build *.egg-info
	rm -rf .mypy_cache .ruff_cache .hypothesis docs/_build docs/api docs/claims docs/lessons
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# The files named "installed" say when an environment was last brought up to date.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11" \
	  " or newer is needed, not " + sys.version.split()[0] + ": make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install -c constraints.txt \
	  -e ".[browser,dev,docs,h5,instructor,tensorboard]"
	touch $(VENV)/installed-docs $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install -c constraints.txt -e ".[docs]"
	touch $@

$(VENV)/installed-course: $(VENV)/installed
	$(BIN)/python -m pip install -c constraints.txt -e ".[course]"
	touch $@

.venv-lowest/installed: pyproject.toml .ci/lower_bounds.py
	$(PYTHON) -m venv .venv-lowest
	$(PYTHON) .ci/lower_bounds.py dev tensorboard > .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install -c .venv-lowest/lowest.txt \
	  -e ".[dev,tensorboard]"
	touch $@
