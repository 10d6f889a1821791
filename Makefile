# One entry point for people and for machines: .ci/run calls the same targets.
# Every target sets itself up. Stamps in .venv remember what is installed, so a second run starts at once.
# PYTHON=python3.12 make …   another interpreter       make test ARGS="-k late"   arguments for what is run

FITS = -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do $$name $(FITS) && echo $$name && break; done)
ARGS ?=

VENV = .venv
PY = $(VENV)/bin/python
# --only-binary: a source package would fetch what it is built with, and no hash stands for that.
PIP = $(PY) -m pip install --quiet --disable-pip-version-check --no-input
PINNED = $(PIP) --require-hashes --only-binary :all:
# --fork-strategy fewest: one NumPy for all Pythons, or the same rule might round differently on two of them.
COMPILE = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header
# What tests use beside Python: command:Debian package.
DEBIAN = chromium:chromium java:default-jre-headless mvn:maven kcat:kcat mosquitto:mosquitto

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
# Two pips in one environment would tread on each other.
.NOTPARALLEL:
.PHONY: help install demo demo-spots test check kafka bench torture pins clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.app ## .venv/bin/tsunagu and what it runs on
	@echo "installed: $(VENV)/bin/tsunagu"

demo: $(VENV)/.app ## a recorded flood in Fukui, told again; needs no server
	@$(VENV)/bin/tsunagu demo $(ARGS)

demo-spots: $(VENV)/.app ## places in Fukui that may be more dangerous than their record; needs no server
	@$(VENV)/bin/tsunagu demo spots $(ARGS)

test: $(VENV)/.app $(VENV)/.test ## all tests and all documented examples; CI=true: a skip is a failure
	@for each in $(DEBIAN); do \
		name=$${each#*:}; \
		command -v $${each%%:*} >/dev/null && continue; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing the Debian package $$name (a test drives it)"; \
			{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$name; } >/dev/null \
				|| echo "could not install $$name: tests that need it are skipped by name"; \
		else \
			echo "$$name is not here and may not be installed: tests that need it are skipped by name"; \
		fi; \
	done
	@# Two processes: much of what a test of a broker does is to wait.
	@$(PY) -m pytest --numprocesses 2 --dist worksteal $(ARGS)

check: $(VENV)/.check ## lint, format, types and the versions of schemas
	@status=0; \
	$(VENV)/bin/ruff check --quiet . || status=1; \
	$(VENV)/bin/ruff format --quiet --check . || status=1; \
	$(VENV)/bin/mypy || status=1; \
	$(PY) -m schemas.versions check || status=1; \
	if [ $$status = 0 ]; then echo "check: good"; else echo "check: NOT good ($(VENV)/bin/ruff format . and $(VENV)/bin/ruff check --fix . mend some)"; fi; \
	exit $$status

kafka: $(VENV)/.app $(VENV)/.live ## a Kafka broker on 127.0.0.1:9092 until interrupted; needs Java and Maven, no Docker
	@$(PY) -m infra.kafka $(ARGS)

bench: $(VENV)/.app $(VENV)/.live $(VENV)-quix/.peer $(VENV)-faust/.peer ## how many readings a second, how long until a statement is seen, and beside peers
	@$(VENV)/bin/tsunagu bench replay
	@$(VENV)/bin/tsunagu bench width $(ARGS)
	@$(VENV)/bin/tsunagu bench live $(ARGS)
	@$(VENV)/bin/tsunagu bench match $(ARGS)

torture: $(VENV)/.app $(VENV)/.test ## the contract of every linkage under 10,000 arrival scripts, and 1,000 killed workers
	@TSUNAGU_SCRIPTS=$${TSUNAGU_SCRIPTS:-10000} TSUNAGU_KILLS=$${TSUNAGU_KILLS:-1000} $(PY) -m pytest --numprocesses 2 --dist worksteal tests/contract tests/jobs/worker $(ARGS)

pins: $(VENV)/.check ## renew requirements/*.txt to the newest that pyproject.toml allows
	@# Each file holds only its own packages and names the files it stands on; -c keeps shared ones the same.
	@set -e; head="# Made by \`make pins\` from pyproject.toml: hashes for every platform, no place to fetch from."; \
	echo "build";  { echo "$$head"; $(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(COMPILE) -; } > $(VENV)/build.txt; \
	echo "demo";   { echo "$$head"; $(COMPILE) pyproject.toml; } > $(VENV)/demo.txt; \
	echo "live";   { echo "$$head"; echo "-r demo.txt"; $(COMPILE) --group live -c $(VENV)/demo.txt; } > $(VENV)/live.txt; \
	echo "test";   { echo "$$head"; echo "-r demo.txt"; $(COMPILE) --group test -c $(VENV)/demo.txt; } > $(VENV)/test.txt; \
	echo "quix";   { echo "$$head"; echo "-r demo.txt"; $(COMPILE) --group quix -c $(VENV)/demo.txt; } > $(VENV)/quix.txt; \
	echo "faust";  { echo "$$head"; echo "-r demo.txt"; $(COMPILE) --group faust -c $(VENV)/demo.txt; } > $(VENV)/faust.txt; \
	echo "check";  { echo "$$head"; echo "-r demo.txt"; $(COMPILE) --group check -c $(VENV)/demo.txt -c $(VENV)/test.txt; } > $(VENV)/check.txt; \
	mkdir -p requirements; \
	for name in build demo live test quix faust check; do mv $(VENV)/$$name.txt requirements/; done

clean: ## remove all that the other targets made
	@rm -rf $(VENV) $(VENV)-quix $(VENV)-faust build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@set -e; python="$(PYTHON)"; \
	[ -n "$$python" ] && "$$python" $(FITS) || { \
		echo "PYTHON must be 3.11, 3.12 or 3.13 (got '$$python'): install python3.11 with its venv module, or say PYTHON=…"; exit 1; }; \
	echo "making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV); \
	touch $@

$(VENV)/.demo: requirements/build.txt requirements/demo.txt $(VENV)/.made
	@echo "installing what tsunagu runs on"
	@$(PINNED) -r requirements/build.txt -r requirements/demo.txt
	@touch $@

# Editable: the clone is the installation. Made again when a room of the house appears, since rooms are listed by name.
$(VENV)/.app: pyproject.toml $(VENV)/.demo $(wildcard pipelines/__init__.py schemas/__init__.py connectors/__init__.py jobs/__init__.py infra/__init__.py)
	@echo "installing tsunagu itself"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.live: requirements/live.txt $(VENV)/.demo
	@echo "installing the broker's clients"
	@$(PINNED) -r requirements/live.txt
	@touch $@

$(VENV)-%/.peer: requirements/%.txt requirements/demo.txt $(VENV)/.made
	@echo "making $(VENV)-$* for a peer of the bench"
	@$(PY) -m venv --clear $(VENV)-$*
	@$(subst $(PY),$(VENV)-$*/bin/python,$(PINNED)) -r requirements/$*.txt
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.live
	@echo "installing what tests need"
	@$(PINNED) -r requirements/test.txt
	@touch $@

$(VENV)/.check: requirements/check.txt $(VENV)/.live
	@echo "installing what checks need"
	@$(PINNED) -r requirements/check.txt
	@touch $@
