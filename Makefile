# What each target does: make help.  Without make (Windows): see README.md.
PYTHON ?= python3
VENV ?= .venv
TORCH ?=
PORT ?= 8000
JOBS ?= 2
LAB ?= lab01-ngram
MODELS ?=
UV ?= uv

PY := $(VENV)/bin/python
INDEX := _build/html/index.html
# Folders stand in the list too, so that a page taken away builds the book anew; `labs` is a target.
PAGES := _config.yml _toc.yml _names.yml _glossary.yml tools/page.py tools/foot.py tools/front.py \
	tools/glossary.py \
	records/replications.json records/guess.json records/ladder.json \
	records/one-sitting/record.json records/story-base/record.json requirements.txt \
	$(filter-out labs, \
	$(shell find chapters labs _static _templates _extra -not -path '*/.*' 2>/dev/null))
# One thread a worker: two workers with two threads each on two cores wait for one another, and the
# slowest page then takes four times as long.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadscope

# This checkout is what every target imports, whatever else is installed.
export PYTHONPATH := $(CURDIR)
export MODELS
# What the targets need that may use the real models.
ready := setup $(if $(filter no,$(MODELS)),,models)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup models system book serve test test-other-user test-fast lab notebooks portable \
	labs class soak records mutants replicate bench pins clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "PYTHON=python3.12  the Python that .venv is made with (3.11 to 3.13)"
	@echo "TORCH=cpu          PyTorch's own build for processors; TORCH=cuda for NVIDIA GPUs"
	@echo "VENV=path          use an environment of your own, as it is"
	@echo "MODELS=no          leave out the tests and pages that need the real models"

setup:  ## make .venv with what requirements.txt pins (every target below does so first)
	@$(PYTHON) tools/setup.py --venv $(VENV) $(if $(TORCH),--torch $(TORCH))

book: _build/built  ## build the book into _build/html
	@echo "Open $(CURDIR)/$(INDEX)"

# A page with a warning is not read again by the next build, so a failed build is forgotten whole.
_build/built: $(PAGES) | setup
	@mkdir -p _build
	@echo "Building the book, usually about a minute."
	@$(VENV)/bin/jupyter-book build . -W -n --keep-going -q >_build/book.log 2>&1 || { \
		cat _build/book.log; rm -rf _build/.doctrees; exit 1; }
	@touch $@

serve: book  ## show the book on http://127.0.0.1:8000 (PORT=8001 for another port)
	@$(PY) -c "import socket; socket.create_server(('127.0.0.1', $(PORT)))" 2>/dev/null || \
		{ echo "Port $(PORT) is taken. Choose another: make serve PORT=8001"; exit 1; }
	@echo "http://127.0.0.1:$(PORT)  (Ctrl-C stops it)"
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

test: book system $(ready)  ## run every test, notebooks included
	$(PYTEST)

test-other-user: setup system  ## the sandbox's own tests once more, by root as an ordinary user
	@$(PY) -m tools.other_user

test-fast: book system $(ready)  ## the same without the notebooks
	$(PYTEST) -m "not slow"

models: setup  ## fetch two real models, once (176 MB to download, 364 MB of disk)
	@$(PY) -m tinygpt.pretrained || \
		{ echo "MODELS=no goes on without them, and skips what needs them."; exit 1; }

system:  ## install what tests take from outside Python (bubblewrap, PostgreSQL, Chromium, axe-core)
	@$(PYTHON) tools/system.py

lab: $(ready)  ## open JupyterLab in the labs folder
	@$(PY) -m jupyterlab --notebook-dir . --LabApp.default_url=/lab/tree/labs \
		$(if $(filter 0,$(shell id -u)),--allow-root)  # in a container one is root

notebooks: $(ready)  ## run chapters and solutions and store their outputs
	@$(PY) -m tools.notebooks chapters solutions

portable: setup  ## run the notebooks as lesser processors would; name each cell that moves
	@$(PY) -m tools.portable --jobs $(JOBS)

labs: setup  ## make labs/ from solutions/
	@$(PY) -m tools.labs

class: setup system  ## make a class, hostile submissions too, and grade it (LAB=lab02-bpe)
	@$(PY) -m gradedesk.trial.grade_class $(LAB)

soak: setup system  ## grade 2,000 submissions while the grader is killed again and again
	@$(PY) -m gradedesk.trial.soak

mutants: setup  ## change each lab's solution and tests, a place at a time; what goes unnoticed?
	@$(PY) -m tools.mutants $(if $(filter command environment,$(firstword $(origin LAB))),$(LAB))

records: setup  ## repeat the recorded runs (an hour; NANOGPT=folder SHAKESPEARE=file for more)
	@$(PY) -m tools.records $(if $(NANOGPT),--nanogpt "$(NANOGPT)") \
		$(if $(SHAKESPEARE),--shakespeare "$(SHAKESPEARE)")

replicate: setup  ## run every chapter's headline again on fresh seeds (hours; goes on where stopped)
	@$(PY) -m replications --jobs $(JOBS)

bench: setup system  ## print the performance table
	@$(PY) -m tools.bench

pins:  ## write requirements.txt from pyproject.toml (needs uv; UPGRADE=1 takes the newest)
	@command -v $(UV) >/dev/null || \
		{ echo "make pins needs uv (https://docs.astral.sh/uv), or UV=path/to/uv"; exit 1; }
	$(UV) pip compile --universal --python-version 3.11 --all-extras $(if $(UPGRADE),--upgrade) \
		--annotation-style line --custom-compile-command "make pins" --quiet \
		--output-file requirements.txt pyproject.toml

clean:  ## remove the built book and caches (.venv stays)
	rm -rf _build .ruff_cache .hypothesis *.egg-info
	find . -path ./.venv -prune -o -name __pycache__ -print0 | xargs -0 rm -rf
