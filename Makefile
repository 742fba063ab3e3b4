# The two commands of the README are `make demo` and `make test`; `make check` is what CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: demo test check fix proto proto-check bench docs clean

# One stamp for running, one for developing; each is renewed when the dependencies change.
$(VENV)/.stamp-tools: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[tools]'
	touch $@

$(VENV)/.stamp-dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.stamp-tools

demo: $(VENV)/.stamp-tools ## watch an overload being averted
	$(BIN)/wattcast demo $(ARGS)

test: $(VENV)/.stamp-dev ## all tests this machine can run
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/.stamp-dev ## what CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) proto-check
	$(MAKE) test

fix: $(VENV)/.stamp-dev ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(VENV)/.stamp-dev ## generate the stubs
	PYTHON=$(abspath $(BIN))/python proto/generate.sh

proto-check: $(VENV)/.stamp-dev ## the committed stubs are those of the .proto file
	rm -rf $(VENV)/stubs && mkdir -p $(VENV)/stubs
	PYTHON=$(abspath $(BIN))/python proto/generate.sh $(abspath $(VENV))/stubs
	for f in agent_pb2.py agent_pb2.pyi agent_pb2_grpc.py agent_pb2_grpc.pyi; do \
	  diff proto/wattcast_proto/v1/$$f $(VENV)/stubs/wattcast_proto/v1/$$f || exit 1; done

bench: $(VENV)/.stamp-tools ## thirty stories, fast
	$(BIN)/wattcast bench story --seeds 30

docs: $(VENV)/.stamp-dev ## write docs/devices.md and docs/cli.md
	$(BIN)/python -m wattcast_tools.docs docs

clean:
	rm -rf $(VENV) .demo
