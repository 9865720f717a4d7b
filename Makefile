# Every target works on a fresh machine: it makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin
# Modules with arrays, whose shapes and types each call is checked for in a test; `make check` checks all modules.
ARRAYS := irrl.digits,irrl.skills,irrl.counting,irrl.actions,irrl.comparison,irrl.devices,irrl.films,irrl.keys,$\
	irrl.learning,irrl.noise,irrl.recurrent,irrl.report.curves,irrl.returns,irrl.rewards,irrl.stats

.PHONY: demo film test check bench browser install

install: .venv/installed

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/irrl digits train --preset demo --out runs/demo
	$(BIN)/irrl digits test runs/demo
	$(BIN)/irrl digits draw runs/demo
	$(BIN)/irrl report runs/demo --out runs/demo/report.html

film: install
	$(BIN)/irrl counting train --preset demo --out runs/robot
	$(BIN)/irrl counting test runs/robot
	$(BIN)/irrl counting draw runs/robot

test: install
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" --jaxtyping-packages=$(ARRAYS),beartype.beartype

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	IRRL_HOSTILE=10000 $(BIN)/python -m pytest -n auto --dist worksteal

bench: install
	$(BIN)/python bench/digits.py
	$(BIN)/python bench/skills.py
	$(BIN)/python bench/counting.py
	$(BIN)/python bench/first_step.py

# What the report's tests need beside: Debian's Chromium, where we may install it, and what drives and judges it.
browser: install
	if ! command -v chromium >/dev/null && test "$$(id -u)" = 0; then \
	  apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends chromium; fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	command -v chromium
