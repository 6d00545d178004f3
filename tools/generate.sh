#!/bin/sh
# Writes the generated files below the folder $1, from the sources here.
set -eu

out=$1
go build -C tools -o ../bin/tools/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
[ -x bin/tools/buf ] || go build -C tools/buf -o ../../bin/tools/buf github.com/bufbuild/buf/cmd/buf
PATH=$PWD/bin/tools:$PATH
export PATH
buf lint --config tools/buf/buf.yaml
buf generate --config tools/buf/buf.yaml --template tools/buf/buf.gen.yaml --output "$out"
