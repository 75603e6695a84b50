# What a person does with this project, one target each; `make` alone lists them.
# Works with GNU make 3.81 (macOS) and any POSIX shell.

SHELL := /bin/sh
PORT ?= 8000
CHECK ?=
FRESH ?=
ARGS ?=
WORKERS ?= 2
PY := .venv/bin/python
# The first Python that is new enough; PYTHON= chooses one.
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python3.14)
SERVE := $(PY) -m cdp.serve
# Checks read the code, not data: they need settings that load, no servers.
NO_SERVERS := CDP_INSECURE_KEY=1 DATABASE_URL=postgresql://nobody@127.0.0.1:1/none DATABASE_OWNER_URL=postgresql://nobody@127.0.0.1:1/none REDIS_URL=
TEMPLATES = $$(git ls-files '*.html' | grep -v /vendor/)

.DEFAULT_GOAL := help
.PHONY: help install install-dev install-spark demo cdnow test drill bench lint format migrate shell stop reset-demo clean

help:  ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n  PORT=8080 chooses the port of the demo; DATABASE_URL and REDIS_URL name servers of your own.\n'

demo: .venv/.installed  ## Load the demo shop once and serve it (CHECK=1: run the main job, print it, stop)
	@exec $(SERVE) demo --port $(PORT) $(if $(filter-out 0,$(CHECK)),--check)

cdnow: .venv/.installed-dev  ## Import the public CDNOW purchase log into a database of its own and count three segments
	@exec $(SERVE) run --own-database cdnow --migrate -- load_cdnow $(ARGS)

test: .venv/.installed-dev  ## Run all tests (ARGS="tests/unit -k merge" chooses)
	@CHROMIUM=$$($(PY) -m tests.harness.browser) && export CHROMIUM && \
		exec $(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

drill: .venv/.installed-dev  ## Run the long drills at their named figures (those on Spark where it is found)
	@DRILL=full exec $(PY) -m pytest -m drill -o faulthandler_timeout=1800 $(ARGS)

# Segments are measured on a year of a shop that takes minutes to make, so each scale keeps its database.
bench: .venv/.installed-dev  ## Measure against floors (ARGS="ingest" chooses; BENCH_SCALE=full for a million people)
	@for bench in $(or $(ARGS),$$(grep -l __main__ bench/*.py | sed 's|bench/||; s|\.py$$||')); do \
		case $$bench in \
			segments|rfm|clustering) database="bench_$${BENCH_SCALE:-small} $(if $(filter-out 0,$(FRESH)),--fresh)" ;; \
			*) database="bench --fresh" ;; \
		esac; \
		$(SERVE) run --own-database $$database --migrate --python -- -m bench.$$bench || exit 1; \
	done

lint: .venv/.installed-dev  ## Check style, types, layers, migrations and templates
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(NO_SERVERS) $(PY) -m mypy
	$(PY) -c 'import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())'
	$(NO_SERVERS) $(PY) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(PY) -m djlint --lint --quiet $(TEMPLATES)

format: .venv/.installed-dev  ## Let ruff put the code into shape
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

migrate: .venv/.installed  ## Bring the demo's database up to date
	@exec $(SERVE) run -- migrate --database owner

shell: .venv/.installed  ## Open a Python shell on the demo's database
	@exec $(SERVE) run -- shell

stop: .venv/.installed  ## Stop a demo that runs elsewhere, or what is left of one that was killed
	@exec $(SERVE) stop

reset-demo: stop  ## Throw the demo's data away; the next `make demo` begins anew
	@$(SERVE) forget

clean: reset-demo  ## Throw away everything that was made: data, environment, caches
	rm -rf .venv .test .mypy_cache .ruff_cache .hypothesis .import_linter_cache staticfiles

install: .venv/.installed  ## Make .venv with what the platform needs

install-dev: .venv/.installed-dev  ## Make .venv with what tests and checks need, too

install-spark: .venv/.installed-dev  ## Add Apache Spark (400 MB) to .venv, for the drill of rules on it; needs Java 17
	@$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements-spark.txt

# ---- The environment -----------------------------------------------------------------------------------------
# A stamp is newer than the requirements it was made from, so a second run starts at once.

.venv/.installed: requirements.txt requirements-trial.txt | .venv/bin/python
	@printf '* installing packages\n'
	@$(PY) -m pip install --quiet --quiet --disable-pip-version-check --requirement requirements-trial.txt
	@touch $@

.venv/.installed-dev: requirements-dev.txt requirements-demo.txt .venv/.installed
	@printf '* installing packages for tests and checks\n'
	@$(PY) -m pip install --quiet --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@$(PY) -m pip install --quiet --quiet --disable-pip-version-check --no-deps --requirement requirements-demo.txt
	@touch $@

.venv/bin/python:
	@for candidate in $(CANDIDATES); do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		printf 'error: Python 3.11 or newer is needed; found %s. Install one, or name it with PYTHON=\n' \
			"$$($(or $(PYTHON),python3) --version 2>&1 || printf none)" >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		printf '* installing python3-venv with apt\n'; \
		(apt-get update -q && apt-get install -yq python3-venv) >/dev/null 2>&1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
		printf 'error: this Python has no venv module. On Debian and Ubuntu: apt install python3-venv\n' >&2; exit 1; \
	fi; \
	printf '* making .venv with %s\n' "$$("$$found" --version)"; \
	"$$found" -m venv .venv
