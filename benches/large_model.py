"""Converts a model of more than 2 GB, whose weights lie in a file beside it, and runs the result.

    python benches/large_model.py [path/to/litesmith] [--megabytes 2300] [--inline] [--folder DIR]

An embedding table, matrix products in both orders, convolutions; weights of one layer are shared with another. Compares what LiteRT computes
with what ONNX Runtime does, and prints the largest resident memory of the conversion beside the size of the model. Takes twice the size of
the model on disk, and four times in memory for the two runtimes. `--inline` keeps the weights in the model file, below 2 GB. Not part of the tests.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper

WIDTH = 4096
random = np.random.default_rng(7)


class Model:
    def __init__(self, folder, inline):
        self.nodes, self.initializers, self.inline = [], [], inline
        (folder / "weights").mkdir()
        self.location = "weights/data.bin"
        self.file = open(folder / self.location, "wb")
        self.file.write(b"not a tensor")

    def weight(self, *shape):
        # So that no layer makes differences larger: thirty of them in a row would else show nothing but rounding.
        data = random.standard_normal(shape, np.float32) * np.float32(1 / np.sqrt(WIDTH))
        tensor = TensorProto(name=f"w{len(self.initializers)}", dims=shape, data_type=TensorProto.FLOAT)
        if self.inline:
            tensor.raw_data = data.tobytes()
        else:
            tensor.data_location = TensorProto.EXTERNAL
            self.file.seek(-self.file.tell() % 64, os.SEEK_CUR)
            for key, value in (("location", self.location), ("offset", self.file.tell()), ("length", data.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            self.file.write(data.tobytes())
        self.initializers.append(tensor)
        return tensor.name

    def add(self, op, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name


def build(folder, megabytes, inline):
    g = Model(folder, inline)
    layer = WIDTH * WIDTH * 4 / 1e6
    layers = max(3, int(megabytes / layer) - 5)
    x = g.add("Gather", g.weight(4 * WIDTH, WIDTH), "tokens")
    shared = g.weight(WIDTH, WIDTH)
    x = g.add("Gemm", x, shared, transB=1)
    for i in range(layers):
        if i % 3 == 0:
            y = g.add("MatMul", x, g.weight(WIDTH, WIDTH))
        elif i % 3 == 1:
            y = g.add("Gemm", x, g.weight(WIDTH, WIDTH), g.weight(WIDTH), transB=1)
        else:
            image = g.add("Unsqueeze", g.add("Transpose", x, perm=[1, 0]), "ends")
            y = g.add("Conv", image, g.weight(WIDTH, WIDTH, 1, 1))
            y = g.add("Transpose", g.add("Squeeze", y, "ends"), perm=[1, 0])
        x = g.add("Tanh", y)
    x = g.add("MatMul", x, shared)
    g.nodes[-1].output[0] = "y"
    g.file.close()
    graph = helper.make_graph(
        g.nodes,
        "large",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, WIDTH])],
        g.initializers + [onnx.numpy_helper.from_array(np.int64([0, 3]), "ends")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "large.onnx").write_bytes(model.SerializeToString())


def main():
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?", default=root / "target/release/litesmith")
    parser.add_argument("--megabytes", type=int, default=2300)
    parser.add_argument("--inline", action="store_true")
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        folder = Path(folder)
        # In a process of its own: what this one holds would count as the converter's where it is started.
        maker = multiprocessing.Process(target=build, args=(folder, arguments.megabytes, arguments.inline))
        maker.start()
        maker.join()
        path = folder / "large.onnx"
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        result = folder / "large.tflite"
        start = time.perf_counter()
        converter = subprocess.Popen([arguments.program, "convert", path, "-o", result])
        _, status, usage = os.wait4(converter.pid, 0)
        taken = time.perf_counter() - start
        if status != 0:
            sys.exit("the conversion failed")
        peak = usage.ru_maxrss * 1024
        print(f"model {size / 1e6:.0f} MB, result {result.stat().st_size / 1e6:.0f} MB, {taken:.1f} s")
        print(f"largest resident memory {peak / 1e6:.0f} MB: {peak / size:.2f} times the model")
        tokens = np.int64([1, 5000, 4 * WIDTH - 1])
        (expected,) = onnxruntime.InferenceSession(str(path)).run(None, {"tokens": tokens})
        interpreter = Interpreter(str(result), num_threads=2)
        run = interpreter.get_signature_runner()
        found = run(tokens=tokens)["y"]
        error = np.abs(found - expected).max()
        print(f"max |error| {error:.2e} of {np.abs(expected).max():.2f}")
        sys.exit(int(not error < 1e-4 * np.abs(expected).max()))


if __name__ == "__main__":
    main()
