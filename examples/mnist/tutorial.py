"""From training to int8 on real digits, in one command: size, accuracy and time of float, float16, dynamic, int8 and QAT int8.

    python examples/mnist/tutorial.py --litesmith target/debug/litesmith
"""
import argparse
import copy
import statistics
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from onnx.reference import ReferenceEvaluator

import digits
from network import Network

# name -> (which training, what litesmith is asked for)
MODES = {
    "float": ("plain", []),
    "float16": ("plain", ["--quantize", "float16"]),
    "dynamic": ("plain", ["--quantize", "dynamic"]),
    "int8": ("plain", ["--quantize", "int8", "--calibration", "{calibration}"]),
    "QAT int8": ("qat", []),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litesmith", default="litesmith", help="the program")
    parser.add_argument("--out", type=Path, default=Path("target/mnist"), help="where models, data and plots go")
    parser.add_argument("--quick", action="store_true", help="less training, and 1,000 digits to test with: does it all work?")
    args = parser.parse_args()
    if args.quick:
        args.out /= "quick"
    args.out.mkdir(parents=True, exist_ok=True)

    train_images, train_labels, test_images, test_labels = digits.load(args.out, args.quick)
    epochs = 6 if args.quick else 30
    plain = Network().train(train_images, train_labels, epochs, 4e-3)
    qat = copy.deepcopy(plain).train(train_images, train_labels, epochs // 6, 5e-4, quantized=True)
    plain.export(args.out / "plain.onnx")
    qat.export(args.out / "qat.onnx", quantized=True)
    # 200 digits, spread over the training set.
    np.savez(args.out / "calibration.npz", image=train_images[:: len(train_images) // 200][:200])
    in_onnx = {model: reference(args.out / f"{model}.onnx", test_images, test_labels) for model in ("plain", "qat")}

    files = {mode: convert(args, mode) for mode in MODES}
    seconds = time_side_by_side(files, test_images)
    float_size = files["float"].stat().st_size
    rows = {}
    for mode, (training, _) in MODES.items():
        correct = evaluate(files[mode], test_images, test_labels)
        low, middle, high = statistics.quantiles(seconds[mode], n=4)
        size = files[mode].stat().st_size
        rows[mode] = Row(size, size / float_size, correct, in_onnx[training], middle, low, high)
    print_table(rows)
    plot(rows, args.out / "tutorial.png", len(test_labels))
    check(rows, 0.01 if args.quick else 0.003)


class Row(NamedTuple):
    """What became of one mode."""
    size: int
    of_float: float
    accuracy: float
    in_onnx: float
    # Seconds a digit: median and quartiles.
    middle: float
    low: float
    high: float


def check(rows, loss):
    """Fails where quantization cost more than it may. Time is shown, not checked: it is the machine's as well."""
    assert abs(rows["float"].accuracy - rows["float"].in_onnx) < 0.0005, "float is not what the ONNX model is"
    assert rows["int8"].accuracy > rows["float"].accuracy - loss, "int8 lost too much"
    assert abs(rows["QAT int8"].accuracy - rows["QAT int8"].in_onnx) < loss * 2 / 3, "QAT int8 is not what the ONNX model is"
    for mode in ("int8", "QAT int8"):
        assert rows[mode].of_float < 0.29, f"{mode} is too large"


def convert(args, mode):
    training, flags = MODES[mode]
    file = args.out / f"{mode.replace(' ', '_').lower()}.tflite"
    flags = [flag.format(calibration=args.out / "calibration.npz") for flag in flags]
    subprocess.run([args.litesmith, "convert", args.out / f"{training}.onnx", "-o", file, "--quiet", *flags], check=True)
    return file


def reference(file, images, labels):
    """The share of digits that the ONNX model tells right, run by the reference implementation of ONNX."""
    model = ReferenceEvaluator(str(file))
    return share(np.array([model.run(None, {"image": image[None]})[0][0] for image in images]), labels)


def interpreter(file):
    runner = Interpreter(model_path=str(file), num_threads=1)
    runner.allocate_tensors()
    return runner, runner.get_input_details()[0]["index"], runner.get_output_details()[0]["index"]


def evaluate(file, images, labels):
    """The share of digits that are told right."""
    runner, x, y = interpreter(file)
    logits = []
    for image in images:
        runner.set_tensor(x, image[None])
        runner.invoke()
        logits.append(runner.get_tensor(y)[0])
    return share(np.array(logits), labels)


def share(logits, labels):
    return float((logits.argmax(1) == labels).mean())


def time_side_by_side(files, images, rounds=60, runs=50):
    """Seconds a digit, `rounds` times for each file, one file after the other so that all meet the same disturbances."""
    runners = {mode: interpreter(file) for mode, file in files.items()}
    seconds = {mode: [] for mode in files}
    for round in range(rounds + 1):
        for mode, (runner, x, _) in runners.items():
            runner.set_tensor(x, images[round][None])
            start = time.perf_counter()
            for _ in range(runs):
                runner.invoke()
            if round > 0:
                seconds[mode].append((time.perf_counter() - start) / runs)
    return seconds


def print_table(rows):
    print("| model | size | of float | accuracy in LiteRT | of the ONNX model | time a digit (median, quartiles) |")
    print("|---|---|---|---|---|---|")
    for mode, row in rows.items():
        times = f"{row.middle * 1e6:.1f} µs ({row.low * 1e6:.1f} to {row.high * 1e6:.1f})"
        print(f"| {mode} | {row.size / 1000:.1f} kB | {row.of_float:.1%} | {row.accuracy:.2%} | {row.in_onnx:.2%} | {times} |")


def plot(rows, file, digits):
    """The three plots: size, accuracy, time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(rows)
    figure, (size, accuracy, time_) = pyplot.subplots(1, 3, figsize=(13, 4))
    size.bar(names, [row.size / 1000 for row in rows.values()])
    size.set_title("size, kB")
    accuracy.bar(names, [100 * row.accuracy for row in rows.values()])
    accuracy.set_ylim(90, 100)
    accuracy.set_title(f"accuracy on {digits:,} digits, %")
    middle = [1e6 * row.middle for row in rows.values()]
    spread = [[1e6 * (row.middle - row.low) for row in rows.values()], [1e6 * (row.high - row.middle) for row in rows.values()]]
    time_.bar(names, middle, yerr=spread, capsize=4)
    time_.set_title("time a digit, µs (median, quartiles)")
    for axes in (size, accuracy, time_):
        axes.tick_params(axis="x", rotation=30)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    print(f"plots: {file}")


if __name__ == "__main__":
    main()
