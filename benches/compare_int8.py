"""int8 side by side: litesmith, ai-edge-quantizer on litesmith's float files, and onnxruntime's quantize_static.

For every model folder (model_static.onnx or model.onnx, io/input_N.npz, io/output_N.npz) all three are calibrated with the first
half of the stored inputs, run on all of them, and compared with the stored float results. Two figures in dB: the
signal-to-quantization-noise ratio (sum of squares of the reference over that of the error) over all outputs of all samples, and
that of the worst output of a sample.

- litesmith: one column for each --flags, as written, beside `--quantize int8 --calibration DIR`. Run by LiteRT with XNNPACK.
- ai-edge-quantizer: recipe static_wi8_ai8 (int8 activations, int8 weights for each channel) on the float .tflite that litesmith
  makes. Run likewise.
- onnxruntime: QDQ, int8 activations, int8 weights for each channel, after its own pre-processing; the best of the calibration
  methods MinMax, Entropy and Percentile. It is run without graph optimization: with it, processors that lack VNNI take int8
  products through 16-bit sums that saturate, which costs some of these models up to 19 dB.

  python compare_int8.py ../shared/models --peers peers.json [--only REGEX] [--flags 'NAME=--flag ...']... [--litesmith BINARY]

Results of the other two are kept in --peers; only models that are not in it are quantized with them again.
Needs numpy and ai-edge-litert; onnx, onnxruntime and ai-edge-quantizer for what is not in --peers.
"""

import argparse
import contextlib
import io
import json
import logging
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np

MODELS = """
arch/mobilenet_v2 arch/mobilenet_v3_small_dynamo_op20 arch/yolov8n_like arch/vit_small_cfg_dynamo arch/bert_tiny_dynamo
arch/conformer_small mnist/digits_dsnet mnist/digits_vit
""".split()
METHODS = ["MinMax", "Entropy", "Percentile"]


class Model:
    """A model folder with its samples."""

    def __init__(self, folder):
        static = folder / "model_static.onnx"
        self.path = static if static.exists() else folder / "model.onnx"
        self.feeds, self.wanted = samples(folder, "input"), samples(folder, "output")
        self.calibration = self.feeds[: max(1, len(self.feeds) // 2)]


def samples(folder, kind):
    """The stored tensors of all samples, in order, as dictionaries by name."""
    found = []
    while (path := folder / "io" / f"{kind}_{len(found)}.npz").exists():
        with np.load(path, allow_pickle=False) as stored:
            found.append({name: stored[name] for name in stored.files})
    return found


def decibels(signal, noise):
    return 10 * np.log10((signal + 1e-30) / (noise + 1e-30))


def score(model, run):
    """Total and worst, in dB; outputs of integers count in the latter alone, by how many differ."""
    signal = noise = 0.0
    worst = np.inf
    for feed, wanted in zip(model.feeds, model.wanted):
        results = run(feed)
        for name, want in wanted.items():
            got = results[name].reshape(want.shape)
            if not np.issubdtype(want.dtype, np.floating):
                worst = min(worst, decibels(1, max(1e-20, float((want != got).mean()))))
                continue
            finite = np.isfinite(want)
            reference, got = want[finite].astype(np.float64), got[finite].astype(np.float64)
            s, n = float((reference**2).sum()), float(((reference - got) ** 2).sum())
            signal, noise, worst = signal + s, noise + n, min(worst, decibels(s, n))
    return {"total": round(float(decibels(signal, noise)), 2), "worst": round(float(worst), 2)}


def litert(path):
    """A function that runs a .tflite file on inputs by name; integers with a scale at its boundary are converted."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    runner = interpreter.get_signature_runner()
    inputs, outputs = runner.get_input_details(), runner.get_output_details()

    def to_stored(x, details):
        scale, zero_point = details["quantization"]
        if scale and np.issubdtype(x.dtype, np.floating) and np.issubdtype(details["dtype"], np.integer):
            limits = np.iinfo(details["dtype"])
            x = np.clip(np.round(x / np.float32(scale)) + zero_point, limits.min, limits.max)
        return np.ascontiguousarray(x.astype(details["dtype"]))

    def to_real(x, details):
        scale, zero_point = details["quantization"]
        if scale and np.issubdtype(x.dtype, np.integer):
            x = (x.astype(np.float32) - zero_point) * np.float32(scale)
        return x

    def run(feed):
        results = runner(**{name: to_stored(x, inputs[name]) for name, x in feed.items() if name in inputs})
        return {name: to_real(x, outputs[name]) for name, x in results.items()}

    return run


def litesmith(binary, model, flags, out):
    subprocess.run([binary, "convert", model.path, "-o", out, *flags], check=True, capture_output=True, text=True)
    return out


def with_litesmith(binary, model, flags, scratch):
    folder = scratch / "calibration"
    folder.mkdir(exist_ok=True)
    for i, feed in enumerate(model.calibration):
        np.savez(folder / f"{i}.npz", **feed)
    flags = ["--quantize", "int8", "--calibration", folder, *flags]
    out = litesmith(binary, model, flags, scratch / "int8.tflite")
    return score(model, litert(out)) | {"bytes": out.stat().st_size}


def with_ai_edge_quantizer(binary, model, scratch):
    from ai_edge_quantizer import quantizer, recipe

    float_file = litesmith(binary, model, [], scratch / "float.tflite")
    tool = quantizer.Quantizer(str(float_file), recipe.static_wi8_ai8())
    ranges = tool.calibrate({"serving_default": model.calibration})
    out = scratch / "aeq.tflite"
    out.unlink(missing_ok=True)
    out.write_bytes(tool.quantize(ranges).quantized_model)
    return score(model, litert(out)) | {"bytes": out.stat().st_size}


def with_onnxruntime(model, scratch):
    """The scores by calibration method."""
    import onnxruntime
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.feeds = iter(model.calibration)

        def get_next(self):
            return next(self.feeds, None)

    prepared, out = scratch / "prepared.onnx", scratch / "qdq.onnx"
    quant_pre_process(model.path, prepared, skip_symbolic_shape=True)
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 3
    scores = {}
    for method in METHODS:
        try:
            quantization.quantize_static(
                prepared,
                out,
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod[method],
            )
            session = onnxruntime.InferenceSession(out, settings, providers=["CPUExecutionProvider"])
            names = [output.name for output in session.get_outputs()]
            scores[method] = score(model, lambda feed: dict(zip(names, session.run(None, feed))))
        except Exception as e:
            scores[method] = {"failed": str(e)[:300]}
    return scores


def best(scores):
    """Of several scores the one with the greatest total."""
    return max((s for s in scores.values() if "total" in s), key=lambda s: s["total"], default={"failed": "all"})


def attempt(function, *arguments):
    """The result, or why there is none; what the tool prints is dropped."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*arguments)
    except subprocess.CalledProcessError as e:
        return {"failed": (e.stdout + e.stderr)[-300:]}
    except Exception as e:
        return {"failed": f"{type(e).__name__}: {e}"[:300]}


def shown(result):
    return f"{result['total']:7.2f} {result['worst']:7.2f}" if "total" in result else f"{'failed':>15s}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("models", type=Path)
    arguments.add_argument("--peers", type=Path, required=True, help="JSON with results of the other two")
    arguments.add_argument("--only", default="")
    arguments.add_argument("--all", action="store_true", help="every model folder, not the usual eight")
    arguments.add_argument("--flags", action="append", help="a column NAME=FLAGS for litesmith; once for each")
    arguments.add_argument("--litesmith", default="target/debug/litesmith")
    arguments.add_argument("--out", type=Path, help="JSON for the results of litesmith")
    options = arguments.parse_args()
    logging.disable(logging.WARNING)
    columns = dict(column.split("=", 1) for column in options.flags or ["litesmith="])
    peers = json.loads(options.peers.read_text()) if options.peers.exists() else {}
    names = MODELS
    if options.all:
        folders = sorted(path.parent for path in options.models.glob("*/*/model.onnx") if (path.parent / "io").is_dir())
        names = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    print(f"{'SQNR in dB: total, worst':36s}" + "".join(f"{c:>18s}" for c in [*columns, "ai-edge-quantizer", "onnxruntime"]))
    results = {}
    for name in names:
        if not re.search(options.only, name):
            continue
        model = Model(options.models / name)
        with tempfile.TemporaryDirectory() as scratch:
            scratch = Path(scratch)
            if name not in peers:
                peers[name] = {
                    "ai-edge-quantizer": attempt(with_ai_edge_quantizer, options.litesmith, model, scratch),
                    "onnxruntime": attempt(with_onnxruntime, model, scratch),
                }
                options.peers.write_text(json.dumps(peers, indent=1))
            ours = {
                column: attempt(with_litesmith, options.litesmith, model, shlex.split(flags), scratch)
                for column, flags in columns.items()
            }
        results[name] = ours
        row = [*ours.values(), peers[name]["ai-edge-quantizer"], best(peers[name]["onnxruntime"])]
        print(f"{name:36s}" + "".join(f"{shown(result):>18s}" for result in row), flush=True)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


main()
