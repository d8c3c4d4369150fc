# procroute: what there is to do. `make demo` and `make test` set up all they need first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
# Labs wait more than they compute, so two a core.
WORKERS ?= $(shell echo $$(( 2 * $$(nproc) )))
ARGS ?=
# How long `make soak` goes on. Bash has a variable of this name, so it must not come from there.
ifneq ($(origin SECONDS),command line)
SECONDS := 3600
endif
# Debian suites whose kernels `make test-vm` tries: 6.1 and 6.12.
SUITES ?= bookworm trixie
# Of each test of tests/netns so many cases there; 0: all.
CASES ?= 0
# What `make test-sandbox` runs of tests/netns: the daemon at its work. Of programs of rules: in /home and in /tmp.
SANDBOXED := daemon dns_sources explain_daemon failover_daemon feed health_daemon inbound inspect leavers moving_ends moving_trees \
             odd_places over reload rules_called rules_set_ids
SANDBOXED_PROGRAMS := rules rules_among rules_held rules_matchers rules_owner

# Colours for a terminal; none in a pipe, nor where NO_COLOR or a dumb terminal asks for none.
colourful := [ -t 1 ] && [ -z "$${NO_COLOR-}" ] && [ "$${TERM-}" != dumb ]
say = @if $(colourful); then printf '\033[1;36m▸\033[0m %s\n' '$(1)'; else echo '▸ $(1)'; fi

CHECKS := format lint types imports bpf promises

.PHONY: help setup setup-tui demo test test-sandbox soak test-vm check check-format check-lint check-types check-imports check-bpf check-promises \
        format bench promises bpf lock clean

help:  ## this list
	@if $(colourful); then bold=$$'\033[1m' blue=$$'\033[36m' end=$$'\033[0m'; else bold= blue= end=; fi; \
	printf '%sprocroute%s: a process with its own default route\n\n' "$$bold" "$$end"; \
	sed -nE 's/^([a-z-]+):.*  ## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name what; do \
	    printf '  %smake %-12s%s %s\n' "$$blue" "$$name" "$$end" "$$what"; done

setup:  ## what `procroute` needs: system packages that are missing, and .venv; then: sudo .venv/bin/procroute
	@tools/setup run
	@if [ "$$(id -u)" = 0 ]; then echo 'ready: .venv/bin/procroute'; else echo 'ready: sudo .venv/bin/procroute'; fi

setup-tui:  ## that, and what `procroute tui` needs
	@tools/setup tui
	@echo 'ready: .venv/bin/procroute tui'

demo:  ## see it work, in private namespaces; the machine's network stays as it is
	@tools/as-root
	@tools/setup run
	@tools/as-root $(PYTHON) -m procroute demo $(ARGS)

test:  ## every test, on the real kernel in private namespaces (ARGS="-k dns" for some)
	@tools/as-root
	@tools/setup test
	@tools/as-root tests/lab/roots bookworm trixie
	@tools/as-root $(PYTHON) -m pytest -n $(WORKERS) $(ARGS)

soak:  ## lives made up by ever new seeds, on real machines, for an hour (SECONDS=600), and 100,000 protocol frames
	@tools/as-root
	@tools/setup test
	@tools/as-root $(PYTHON) -m tests.soak $(SECONDS) $(ARGS)
	@PROCROUTE_FRAMES=100000 $(PYTHON) -m pytest -q -o timeout=0 tests/unit/test_protocol_fuzz.py

test-vm:  ## WireGuard, VRFs, dummies and all of tests/netns on Linux 6.1 and 6.12, in virtual machines (slow; CASES=1: less so)
	@tools/as-root
	@tools/setup test
	@failed=; for suite in $(SUITES); do tools/as-root env CASES=$(CASES) tests/vm/test $$suite $(ARGS) || failed+=" $$suite"; done; \
	$(PYTHON) -m tests.vm.matrix $(SUITES) && [ -z "$$failed" ]

test-sandbox:  ## tests/netns of the daemon in the sandbox of the unit that is shipped, on systemd 252 and 257 (half an hour)
	@tools/as-root
	@tools/setup test
	@tools/as-root tests/lab/roots $(SUITES)
	@run() { \
	    tools/as-root env PROCROUTE_SANDBOX=$$1 PROCROUTE_PROGRAMS=/$$2/programs \
	        $(PYTHON) -m pytest -p tests.netns.sandbox -n $(WORKERS) $(ARGS) $${@:3} || failed+=" $$1:/$$2"; }; \
	failed=; for suite in $(SUITES); do \
	    run $$suite home $(SANDBOXED:%=tests/netns/test_%.py) $(SANDBOXED_PROGRAMS:%=tests/netns/test_%.py); \
	    run $$suite tmp $(SANDBOXED_PROGRAMS:%=tests/netns/test_%.py); done; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

check: .venv/ready  ## format, lint, types, imports, BPF objects, promises: all, also after one that fails
	@failed=; for name in $(CHECKS); do $(MAKE) -o .venv/ready check-$$name || failed+=" $$name"; done; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

check-format: .venv/ready
	$(call say,format)
	@$(PYTHON) -m ruff format --check --quiet . || { echo 'mend with: make format'; exit 1; }

check-lint: .venv/ready
	$(call say,lint)
	@$(PYTHON) -m ruff check --quiet .

check-types: .venv/ready
	$(call say,types)
	@$(PYTHON) -m mypy --no-error-summary

check-imports: .venv/ready
	$(call say,imports)
	@.venv/bin/lint-imports --no-logo

check-bpf:
	$(call say,BPF objects)
	@procroute/kernel/bpf/build --check

check-promises: .venv/ready
	$(call say,promises)
	@$(PYTHON) -m pytest --promises --capture=no > /dev/null

format: .venv/ready  ## format, and mend what lint can mend
	@$(PYTHON) -m ruff format --quiet .
	@$(PYTHON) -m ruff check --fix --quiet .

bench:  ## start-up time and kernel instructions per operation, against tests/bench/baseline.json
	@tools/as-root
	@tools/setup bench
	@tools/as-root $(PYTHON) -m tests.bench.startup $(ARGS)
	@tools/as-root $(PYTHON) -m tests.bench.run_by_daemon $(ARGS)
	@tools/as-root $(PYTHON) -m tests.bench.packets $(ARGS)
	@tools/as-root $(PYTHON) -m tests.bench.hold
	@tools/as-root $(PYTHON) -m tests.bench.checks
	@$(PYTHON) -m tests.bench.tui
	@$(PYTHON) -m tests.bench.rules
	@$(PYTHON) -m tests.bench.tui_keys
	@tools/as-root $(PYTHON) -m tests.bench.tui_whole

promises: .venv/ready  ## each promise of docs/promises.md and the tests that hold it
	@$(PYTHON) -m pytest --promises --capture=no

bpf:  ## compile the BPF programs (needs clang)
	@procroute/kernel/bpf/build

lock:  ## choose all versions anew
	@tools/lock

clean:  ## remove what make made
	rm -rf .venv .lock-venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: .venv/ready
.venv/ready:
	@tools/setup test
