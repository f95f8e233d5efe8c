#!/bin/sh
# Writes the Python code of the contract into generated/ (or the folder given). PYTHON names the interpreter with grpcio-tools.
set -eu
cd "$(dirname "$0")"
out=${1:-../generated}
mkdir -p "$out"
"${PYTHON:-python3}" -m grpc_tools.protoc -I . \
    --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" talkup/v1/*.proto
