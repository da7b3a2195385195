"""Quantizes a float .tflite file that was made elsewhere, and compares both in LiteRT's own Python interpreter.

    python examples/quantize/quantize.py float.tflite --samples samples.npz --scheme int8 -o small.tflite
"""
import argparse
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import litesmith


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a float .tflite file of one input")
    parser.add_argument("--samples", type=Path, required=True, help="an .npz file with one array: inputs along the first axis")
    parser.add_argument("--scheme", default="int8", choices=["float16", "dynamic", "weights", "int8", "int16x8"])
    parser.add_argument("--min-db", type=float, default=20.0, help="what the outputs must reach against the float file")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    with np.load(args.samples) as stored:
        (inputs,) = stored.values()

    def representative_dataset():
        for row in inputs[:64]:
            yield [row[None]]

    needs_samples = args.scheme in ("int8", "int16x8")
    model = litesmith.quantize(
        args.file, quantize=args.scheme, calibration=representative_dataset if needs_samples else None
    )
    model.save(args.output)
    print(model.report)
    db = decibels(outputs(args.file, inputs), outputs(args.output, inputs))
    print(f"{args.file.stat().st_size} -> {args.output.stat().st_size} bytes, {db:.1f} dB against the float file")
    if db < args.min_db:
        raise SystemExit(f"less than {args.min_db} dB")


def outputs(file, inputs):
    runner = Interpreter(model_path=str(file))
    runner.allocate_tensors()
    x, y = runner.get_input_details()[0]["index"], runner.get_output_details()[0]["index"]
    results = []
    for row in inputs:
        runner.set_tensor(x, row[None])
        runner.invoke()
        results.append(runner.get_tensor(y))
    return np.concatenate(results)


def decibels(expected, found):
    return 10 * np.log10(np.square(expected).sum() / np.square(expected - found).sum())


if __name__ == "__main__":
    main()
