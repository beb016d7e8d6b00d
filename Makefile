# Two commands: `make run` and `make test`. Each sets up .venv first, once.
PYTHON := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup run test check format review notebook tensorboard browser image kubectl bench bench-readme
.PHONY: reference picture docs docs-serve lock clean

help: ## what can be made, and with which variables
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'
	@echo
	@echo 'ARGS goes to the command that is run:'
	@echo '  make run ARGS="--set training.epochs=1"'
	@echo '  make test ARGS="tests/test_splits.py -k time"'
	@echo 'make test COVERAGE=1 also says which lines no test runs, and fails where pyproject.toml allows fewer.'
	@echo 'FRAUD_PIPELINE_REAL_ROWS=FOLDER lets the tests read real card transactions from that folder as well.'

setup: ## .venv, from hash-locked requirements; at once when it is there
	@sh scripts/setup.sh

run: setup ## the whole pipeline on this machine: data in, pushed model and report out
	@.venv/bin/fraud-pipeline run $(ARGS)

# BLAS and OpenMP keep to one thread: several processes share the cores, where threads that wait for each other spin.
# Many tests start commands, which without byte code would compile the code each time.
test: check ## the checks, then all tests
	@env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 \
	  --dist loadgroup --no-loadscope-reorder $(if $(COVERAGE),--cov $(if $(ARGS),--cov-fail-under=0)) $(ARGS)

check: setup ## before each commit: ruff, mypy and the import contracts
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

format: setup ## put the code into its format, and mend what ruff can
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

review: setup ## the newest finished run's report and TensorBoard, in the browser
	@.venv/bin/fraud-pipeline review $(ARGS)

notebook: setup ## the newest finished run in TFDV's and TFMA's own views, run from notebooks/review.ipynb, in the browser
	@$(PYTHON) -m nbconvert --config notebooks/nbconvert_config.py --execute --to html --output-dir workspace \
	  $(ARGS) notebooks/review.ipynb
	@echo "The page: workspace/review.html"
	@$(PYTHON) -m webbrowser "$(CURDIR)/workspace/review.html" >/dev/null

tensorboard: setup ## training curves and trials, in a browser
	@$(PYTHON) -m tensorboard.main --logdir workspace $(ARGS)

browser: ## Chromium from Debian's packages, for the tests that look at the pages; as root or with sudo
	@sh scripts/browser.sh

image: ## the container image for Kubeflow, with docker, podman or buildah; ARGS=gpu the one for GPUs
	@sh scripts/image.sh $(ARGS)

kubectl: ## kubectl from Debian's packages, for the tests that build the manifests; as root or with sudo
	@sh scripts/kubectl.sh

bench: setup ## all benchmarks, which want a quiet machine; ARGS="stock tutorial" runs those two
	@$(PYTHON) -m benchmarks $(ARGS)

bench-readme: setup ## what docs and README say of speed and quality, from the results of bench
	@$(PYTHON) -m benchmarks.readme $(ARGS)

reference: setup ## all configuration keys in docs/configuration.md, from the settings classes
	@$(PYTHON) -m pipeline.reference $(ARGS)

picture: setup ## docs/images/report.png, of the newest finished run's report; needs Chromium
	@$(PYTHON) -m benchmarks.picture $(ARGS)

docs: setup ## the documentation as web pages, in site/; fails on a broken link
	@NO_MKDOCS_2_WARNING=true $(PYTHON) -m mkdocs build --strict --quiet $(ARGS)
	@echo "The pages: site/index.html"

docs-serve: setup ## the same in the browser, built anew when a page changes
	@NO_MKDOCS_2_WARNING=true $(PYTHON) -m mkdocs serve $(ARGS)

lock: ## the locked requirements anew from pyproject.toml; ARGS=--upgrade takes newer versions
	@sh scripts/lock.sh $(ARGS)

clean: ## remove what was made here: .venv, caches, builds; not workspace/, which holds your models
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* site
	find pipeline components trainer tests -name __pycache__ -type d -prune -exec rm -rf {} +
