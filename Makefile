# Two commands: `make console` talks, `make test` proves. Everything lands in .venv and .cache of this checkout.
PYTHON ?= python3
PORT ?= 3000
RUN := .venv/bin/python

export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export npm_config_cache := $(CURDIR)/.cache/npm
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.cache/hypothesis

.PHONY: console serve relay test test-deep test-live check bench lock clean
.DEFAULT_GOAL := console

console: .venv/console.stamp
	@$(RUN) tools/build_page.py
	@exec .venv/bin/duologue console --port $(PORT) --sessions .cache/sessions

serve: .venv/console.stamp
	@exec .venv/bin/duologue serve

relay: .venv/console.stamp
	@exec .venv/bin/duologue relay

test: .venv/dev.stamp
	@sh tools/need_chromium.sh
	@sh tools/need_sound.sh
	@sh tools/fetch_proxies.sh
	@$(RUN) tools/build_page.py
	@$(RUN) tools/install_peers.py
	$(RUN) -m pytest -m "not deep" $(ARGS)

test-deep: .venv/dev.stamp
	$(RUN) -m pytest -m deep --timeout 3600 $(ARGS)

# The client's scenarios against OpenAI, for money; without OPENAI_API_KEY they are skipped, and say so.
test-live: .venv/dev.stamp
	DUOLOGUE_LIVE=1 $(RUN) -m pytest -rs -m live tests/client/scenarios $(ARGS)

check: .venv/dev.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(RUN) -m pytest -q tests/test_house.py
	$(RUN) tools/build_page.py --check

bench: .venv/dev.stamp
	@sh tools/need_chromium.sh
	@sh tools/fetch_proxies.sh
	@$(RUN) tools/build_page.py
	$(RUN) -m bench $(ARGS)

# Versions and hashes of everything that is installed; needs `uv`. The tests' peers hold some packages back, so the lock
# with them comes first and the console's follows it. The beta dialect's last client lives in an environment of its own.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links
PARTS := --extra console --extra mcp --extra mic --extra noise --extra relay
lock:
	$(LOCK) pyproject.toml $(PARTS) --extra webrtc --group build --group dev --upgrade -o requirements/dev.txt
	$(LOCK) pyproject.toml $(PARTS) --group build -c requirements/dev.txt -o requirements/console.txt
	echo "openai[realtime]==1.109.1" | $(LOCK) - --upgrade -o requirements/beta.txt

clean:
	rm -rf .venv .cache dist build src/duologue/console/static src/duologue/console/page/node_modules
	rm -rf tests/compat/node/node_modules
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: Python 3.11 or newer is needed: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "make: the venv module is missing: apt-get install python3-venv"; exit 1; }

.venv/console.stamp: requirements/console.txt pyproject.toml | .venv/bin/python
	@echo "make: installing what the console needs (once)"
	@$(RUN) -m pip install --quiet --require-hashes -r requirements/console.txt
	@$(RUN) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: requirements/dev.txt .venv/console.stamp
	@echo "make: installing what the tests need (once)"
	@$(RUN) -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@
