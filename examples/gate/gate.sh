#!/bin/sh
# A gate for CI: converts, and fails unless the result is as good as it has to be. `litesmith` says so with its exit code: 0 passed, 1 did not.
#
#     examples/gate/gate.sh model.onnx samples.npz test.npz
#
# LITESMITH: the program. MAX_DROP: percent of the labels in test.npz that may be told wrong beyond those of the ONNX model. MIN_SQNR: decibels
# that every output must reach. TARGET: a runtime that has to take every operator.
set -eu
litesmith=${LITESMITH:-litesmith}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

"$litesmith" doctor
"$litesmith" convert "$1" -o "$out/model.tflite" --quantize int8 --calibration "$2"
"$litesmith" check "$out/model.tflite" --target "${TARGET:-tflm}"
"$litesmith" verify "$out/model.tflite" --against "$1" --inputs "$3" --max-drop "${MAX_DROP:-1}" --min-sqnr "${MIN_SQNR:-20}"
