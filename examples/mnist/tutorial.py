"""From training to int8 on real digits, in one command: size, accuracy and time of float, float16, dynamic, int8 and QAT int8.

    python examples/mnist/tutorial.py --litesmith target/release/litesmith
"""
import argparse
import copy
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

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
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    train_images, train_labels, test_images, test_labels = digits.load(args.out)
    plain = Network().train(train_images, train_labels, args.epochs, 4e-3)
    qat = copy.deepcopy(plain).train(train_images, train_labels, max(1, args.epochs // 6), 5e-4, quantized=True)
    plain.export(args.out / "plain.onnx")
    qat.export(args.out / "qat.onnx", quantized=True)
    # 200 digits, spread over the training set.
    np.savez(args.out / "calibration.npz", image=train_images[:: len(train_images) // 200][:200])
    trained = {
        "plain": share(plain.forward(test_images, False)[0], test_labels),
        "qat": share(qat.forward(test_images, True)[0], test_labels),
    }

    files = {mode: convert(args, mode) for mode in MODES}
    seconds = time_side_by_side(files, test_images)
    float_size = files["float"].stat().st_size
    rows = []
    for mode, (training, _) in MODES.items():
        correct = evaluate(files[mode], test_images, test_labels)
        low, middle, high = statistics.quantiles(seconds[mode], n=4)
        size = files[mode].stat().st_size
        rows.append((mode, size, size / float_size, correct, trained[training], middle, low, high))
    print_table(rows)
    plot(rows, args.out / "tutorial.png")


def convert(args, mode):
    training, flags = MODES[mode]
    file = args.out / f"{mode.replace(' ', '_').lower()}.tflite"
    flags = [flag.format(calibration=args.out / "calibration.npz") for flag in flags]
    subprocess.run([args.litesmith, "convert", args.out / f"{training}.onnx", "-o", file, "--quiet", *flags], check=True)
    return file


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
    print("| model | size | of float | accuracy in LiteRT | as trained | time a digit (median, quartiles) |")
    print("|---|---|---|---|---|---|")
    for mode, size, part, correct, trained, middle, low, high in rows:
        times = f"{middle * 1e6:.1f} µs ({low * 1e6:.1f} to {high * 1e6:.1f})"
        print(f"| {mode} | {size / 1000:.1f} kB | {part:.1%} | {correct:.2%} | {trained:.2%} | {times} |")


def plot(rows, file):
    """The three plots: size, accuracy, time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [row[0] for row in rows]
    figure, (size, accuracy, time_) = pyplot.subplots(1, 3, figsize=(13, 4))
    size.bar(names, [row[1] / 1000 for row in rows])
    size.set_title("size, kB")
    accuracy.bar(names, [100 * row[3] for row in rows])
    accuracy.set_ylim(90, 100)
    accuracy.set_title("accuracy on 5,000 digits, %")
    middle = [1e6 * row[5] for row in rows]
    spread = [[1e6 * (row[5] - row[6]) for row in rows], [1e6 * (row[7] - row[5]) for row in rows]]
    time_.bar(names, middle, yerr=spread, capsize=4)
    time_.set_title("time a digit, µs (median, quartiles)")
    for axes in (size, accuracy, time_):
        axes.tick_params(axis="x", rotation=30)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    print(f"plots: {file}")


if __name__ == "__main__":
    main()
