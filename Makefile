# install, run, test, bench, lint, proto. A second run of each does only what has changed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help install run test test-extended test-faults tools bench lint docs proto scaffolds

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENT := $(shell find platform/micro platform/pyproject.toml -name '*.py' -o -name '*.pyi' -o -name '*.proto' -o -name '*.toml' -o -name '*.json' -o -name py.typed -o -name '*.tmpl')
PROTOS := $(wildcard platform/micro/proto/*.proto)

help:
	@echo "make install        everything into $(VENV)"
	@echo "make run            install, start the server, run examples/helloworld when the state is empty"
	@echo "make test           the tests"
	@echo "make test-extended  those too long for every day: the stories on Docker too, images by its classic builder"
	@echo "make test-faults    every process killed at every step of a deploy, as a table; a quarter of an hour"
	@echo "make bench          all measurements"
	@echo "make lint           ruff, mypy, import-linter"
	@echo "make docs           docs/cli from the commands"
	@echo "make proto          the Python of platform/micro/proto/*.proto, and their comments"
	@echo "make scaffolds      the Go code of the service that micro new --lang go makes"

install: $(VENV)/.installed $(VENV)/.wheel

# pip, not uv: a stranger's index settings are pip's.
$(VENV)/.installed: requirements.txt platform/pyproject.toml | $(VENV)/.made
	@echo "Installing the server's dependencies into $(VENV) (a minute the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt </dev/null
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e ./platform </dev/null
	@touch $@

$(VENV)/.made:
	@command -v git >/dev/null || { echo "git is missing: install it (apt-get install git)." >&2; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or later (apt-get install python3 python3-venv)." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), and 3.11 or later is needed: install it, and say make PYTHON=python3.12, or whichever it is." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv (apt-get install python3-venv)." >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# The client as a wheel, which builds of services install; of its sources alone, hence no folder of an earlier build.
$(VENV)/.wheel: $(CLIENT) $(VENV)/.installed
	@rm -rf platform/build $(VENV)/share/micro.new && mkdir -p $(VENV)/share/micro
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir $(VENV)/share/micro.new ./platform </dev/null
	@mv $(VENV)/share/micro.new/*.whl $(VENV)/share/micro/ && rm -rf $(VENV)/share/micro.new platform/build
	@touch $@

run: install
	@exec $(BIN)/python manage.py server --example examples/helloworld

# Where Go is, if it is a newer one than the machine's own.
test test-extended test-faults tools: export PATH := /usr/local/go/bin:$(PATH)

test: install tools
	@$(BIN)/pytest --numprocesses auto --maxprocesses 4 --no-loadscope-reorder

# The stories of `make test` again on Docker, and Dockerfiles with its classic builder.
test-extended: install tools
	@$(BIN)/pytest --extended --numprocesses auto --maxprocesses 4 --no-loadscope-reorder

# Not one of `make test`'s files: it takes a quarter of an hour, and a part of it is among them.
test-faults: install tools
	@$(BIN)/pytest tests/faults/matrix.py

# What tests need beside our own dependencies; without it they are skipped, by name.
tools:
	@tests/tools

bench: install
	@for script in bench/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=.:platform $(BIN)/lint-imports

docs: install
	@$(BIN)/python -m micro.cli.pages docs/cli

# grpcio-tools 1.76 writes code that runs on protobuf 6.31 and later, which is what the client's wheel promises.
proto: install
	@$(BIN)/uv tool run --from grpcio-tools==1.76.0 --with setuptools python -m grpc_tools.protoc -I platform --python_out=platform --pyi_out=platform $(PROTOS)
	@$(BIN)/python -m grpc_tools.protoc -I platform --include_source_info --descriptor_set_out=/dev/stdout $(PROTOS) | $(BIN)/python -m micro.comments

# The Go code of the scaffold. Needs go, which fetches the generators.
scaffolds: install
	@folder=$$(mktemp -d) && mkdir $$folder/proto && cp platform/micro/scaffolds/go/proto/scaffoldname.proto.tmpl $$folder/proto/scaffoldname.proto && \
	GOBIN=$$folder go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 && \
	GOBIN=$$folder go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2 && \
	PATH="$$folder:$$PATH" $(BIN)/python -m grpc_tools.protoc -I $$folder --go_out=$$folder --go_opt=module=example.com/scaffold-name \
	  --go-grpc_out=$$folder --go-grpc_opt=module=example.com/scaffold-name proto/scaffoldname.proto && \
	for file in scaffoldname.pb.go scaffoldname_grpc.pb.go; do cp $$folder/proto/$$file platform/micro/scaffolds/go/proto/$$file.tmpl; done; rm -rf $$folder
