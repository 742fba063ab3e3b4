#!/bin/sh
# Generate the stubs beside their .proto file; `make proto-check` fails when they drift.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
PATH="$(dirname "$(command -v "$python")"):$PATH" "$python" -m grpc_tools.protoc -I . \
  --python_out="${1:-.}" --grpc_python_out="${1:-.}" --mypy_out="${1:-.}" --mypy_grpc_out="${1:-.}" \
  wattcast_proto/v1/agent.proto
