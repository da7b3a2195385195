"""Runs .tflite files in TensorFlow Lite for Microcontrollers and in LiteRT's reference kernels on the same data.

Prints for each file how far the outputs are apart, in steps of their scale (of what is dequantized, for float outputs), or why it did not run.
"""
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro import runtime


def step(interpreter, detail):
    """The scale of an output, or of the integers that it is made of."""
    if detail["quantization"][0]:
        return detail["quantization"][0]
    tensors = {t["index"]: t for t in interpreter.get_tensor_details()}
    for op in interpreter._get_ops_details():
        if detail["index"] in op["outputs"] and op["op_name"] == "DEQUANTIZE":
            return tensors[op["inputs"][0]]["quantization"][0]
    return None


def compare(path):
    reference = Interpreter(path, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    reference.allocate_tensors()
    data = open(path, "rb").read()
    micro = runtime.Interpreter.from_bytes(data, arena_size=max(64 << 20, 10 * len(data)))
    worst = 0.0
    for seed in range(4):
        random = np.random.default_rng(seed)
        for i, detail in enumerate(reference.get_input_details()):
            x = random.normal(size=detail["shape"]).astype(detail["dtype"])
            reference.set_tensor(detail["index"], x)
            micro.set_input(x, i)
        reference.invoke()
        micro.invoke()
        for i, detail in enumerate(reference.get_output_details()):
            want, got = reference.get_tensor(detail["index"]), micro.get_output(i)
            apart = np.abs(want.astype(np.float64) - got.astype(np.float64)).max(initial=0.0)
            worst = max(worst, apart / (step(reference, detail) or max(1e-6, np.abs(want).max() * 1e-4)))
    return worst


for path in sys.argv[1:]:
    try:
        print(f"{path}: {compare(path):.3f}", flush=True)
    except (RuntimeError, ValueError) as error:
        print(f"{path}: {error}", flush=True)
