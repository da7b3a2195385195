"""The bar for int8: what onnxruntime's own quantizer reaches on the models that litesmith is measured on.

For every model folder (model.onnx, io/input_N.npz, io/output_N.npz): quantize_static with int8 activations and per-channel
int8 weights in QDQ form, ranges from the minimum and maximum over the first half of the stored inputs; then run all stored
inputs and compare with the stored float results. The figure is the signal-to-quantization-noise ratio over all outputs in dB,
defined as conformance scripts define it: sum of squares of the reference over sum of squares of the error.

The quantized file is run without graph optimization. With it, processors that lack VNNI take int8 products through 16-bit sums
that saturate, which costs some of these models up to 19 dB: that would measure the processor and not the file.

  python ort_int8.py ../shared/models [--only REGEX] [--ops] [--out bar.json]

Needs onnx, onnxruntime, numpy.
"""

import argparse
import collections
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

MODELS = """
mnist/float mnist/digits_dsnet
arch/mobilenet_v2 arch/mobilenet_v3_small_dynamo_op20 arch/shufflenet_v2_x0_5 arch/ds_cnn_kws arch/espcn_x3
arch/unet_resize arch/yolov8n_like arch/style_instancenorm arch/conv_tasnet_like
""".split()


def samples(folder, kind):
    """The stored tensors of all samples, in order, as dictionaries by name."""
    found = []
    while (path := folder / "io" / f"{kind}_{len(found)}.npz").exists():
        with np.load(path, allow_pickle=False) as stored:
            found.append({name: stored[name] for name in stored.files})
    return found


class Reader(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def quantize(model, feeds, to):
    """Writes the quantized model; its path, and how often each operator stands in it."""
    prepared, quantized = to / "prepared.onnx", to / "quantized.onnx"
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        quantized,
        Reader(feeds),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )
    return quantized


def operators(path):
    """Operators with and without a quantized operand."""
    graph = onnx.load(path).graph
    dequantized = {o for node in graph.node if node.op_type == "DequantizeLinear" for o in node.output}
    quantized, left = collections.Counter(), collections.Counter()
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear", "Constant"):
            (quantized if dequantized & set(node.input) else left)[node.op_type] += 1
    return dict(quantized), dict(left)


def signal_to_noise(path, feeds, wanted):
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    signal = noise = 0.0
    for feed, want in zip(feeds, wanted):
        for name, got in zip(names, session.run(None, feed)):
            reference = want[name].astype(np.float64)
            finite = np.isfinite(reference)
            signal += float((reference[finite] ** 2).sum())
            noise += float(((reference - got)[finite] ** 2).sum())
    return 10 * np.log10((signal + 1e-30) / (noise + 1e-30))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("models", type=Path)
    arguments.add_argument("--only", default="")
    arguments.add_argument("--ops", action="store_true", help="list what was quantized and what was not")
    arguments.add_argument("--out", type=Path)
    options = arguments.parse_args()
    bar = {}
    for name in MODELS:
        folder = options.models / name
        if not re.search(options.only, name):
            continue
        feeds, wanted = samples(folder, "input"), samples(folder, "output")
        with tempfile.TemporaryDirectory() as scratch:
            quantized = quantize(folder / "model.onnx", feeds[: max(1, len(feeds) // 2)], Path(scratch))
            bar[name] = round(signal_to_noise(quantized, feeds, wanted), 2)
            print(f"{name:42s} {bar[name]:6.2f} dB", flush=True)
            if options.ops:
                print("    quantized {}\n    float {}".format(*operators(quantized)), flush=True)
    if options.out:
        options.out.write_text(json.dumps(bar, indent=1))


main()
