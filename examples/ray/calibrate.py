"""Calibrates on Ray: each task runs a part of the samples, the statistics merge to those of all, to the bit, and one conversion uses them.

    python examples/ray/calibrate.py model.onnx --samples samples/ --parts 8 -o model.tflite

Tasks read the model and the samples by their paths, which all nodes have to reach.
"""
import argparse
from pathlib import Path

import ray

import litesmith


@ray.remote
def calibrate(model, samples, number, parts):
    """Statistics of one part of the samples: they are pickled, and hold ranges and histograms alone."""
    return litesmith.calibrate(model, samples, shard=(number, parts), progress=False)


@ray.remote
def merge(first, second):
    return first.merge(second)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the ONNX model")
    parser.add_argument("--samples", type=Path, required=True, help="a folder of .npz files, or one stacked .npz file")
    parser.add_argument("--parts", type=int, default=8, help="into how many parts the samples are divided")
    parser.add_argument("--statistics", type=Path, help="keep the statistics in this file")
    parser.add_argument("--address", help="a cluster that runs; one is started on this machine by default")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    ray.init(address=args.address, include_dashboard=False, log_to_driver=False)
    model, samples = str(args.model.resolve()), str(args.samples.resolve())
    waiting = [calibrate.remote(model, samples, number, args.parts) for number in range(1, args.parts + 1)]
    while len(waiting) > 1:
        # Whatever is done first: the order of merging makes no difference.
        pair, waiting = ray.wait(waiting, num_returns=2)
        waiting.append(merge.remote(*pair))
    statistics = ray.get(waiting[0])
    ray.shutdown()

    if args.statistics:
        statistics.save(args.statistics)
    converted = litesmith.convert(model, quantize="int8", statistics=statistics)
    converted.save(args.output)
    print(f"calibrated on {statistics.samples} samples in {args.parts} parts")
    print(converted.report)


if __name__ == "__main__":
    main()
