"""How the time of a conversion grows with the size of a model: chains of 1,000, 4,000 and 16,000 operators should take 1 : 4 : 16.

    python benches/scaling.py [path/to/litesmith] [kind ...]

Not part of the tests. The time of starting the program is taken off. A ratio well above 4 from one row to the next means that something is
quadratic.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

SIZES = (1000, 4000, 16000)
random = np.random.default_rng(1)


class Chain:
    """A graph of image features `[1,8,16,16]`, built node by node."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op, *inputs, results=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(results)]
        self.nodes.append(helper.make_node(op, list(inputs), names, f"n{len(self.nodes)}", **attributes))
        return names[0] if results == 1 else names

    def conv(self, x):
        return self.add("Conv", x, self.constant(random.random((8, 8, 1, 1), np.float32) / 8), pads=[0, 0, 0, 0])


def mixed(g, x, size):
    """Convolutions, element-wise operators, reshapes and transposes in turn."""
    i = 0
    while len(g.nodes) < size:
        step = i % 8
        if step in (0, 4):
            x = g.conv(x)
        elif step == 1:
            x = g.add("Relu", x)
        elif step == 2:
            x = g.add("Add", x, g.constant(random.random((8, 1, 1), np.float32)))
        elif step == 3:
            x = g.add("Mul", x, g.constant(random.random((1, 8, 1, 1), np.float32)))
        elif step == 5:
            x = g.add("Reshape", g.add("Reshape", x, g.constant(np.int64([1, 8, 256]))), g.constant(np.int64([1, 8, 16, 16])))
        elif step == 6:
            x = g.add("Transpose", g.add("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2])
        else:
            x = g.add("Tanh", x)
        i += 1
    return x


def residual(g, x, size):
    """Blocks with a way around them, and concatenations."""
    while len(g.nodes) < size:
        y = g.add("Relu", g.conv(x))
        y = g.add("BatchNormalization", g.conv(y), *(g.constant(np.ones(8, np.float32)) for _ in range(4)))
        x = g.add("Relu", g.add("Add", x, y))
        left, right = g.add("Split", x, results=2, axis=1)
        x = g.add("Concat", g.add("Sigmoid", left), right, axis=1)
    return x


def unrolled(g, x, size):
    """Steps of a recurrent cell written out: slices, gates, and results that are gathered at the end."""
    flat = g.add("Reshape", x, g.constant(np.int64([1, 2048])))
    h = c = g.constant(np.zeros((1, 16), np.float32))
    w, bias = g.constant(random.random((32, 64), np.float32)), g.constant(np.zeros(64, np.float32))
    results, step = [], 0
    while len(g.nodes) < size - 30:
        start = step * 16 % 2032
        part = g.add("Slice", flat, g.constant(np.int64([start])), g.constant(np.int64([start + 16])), g.constant(np.int64([1])))
        gates = g.add("Gemm", g.add("Concat", part, h, axis=1), w, bias)
        i, f, o, z = g.add("Split", gates, results=4, axis=1)
        c = g.add("Add", g.add("Mul", g.add("Sigmoid", f), c), g.add("Mul", g.add("Sigmoid", i), g.add("Tanh", z)))
        h = g.add("Mul", g.add("Sigmoid", o), g.add("Tanh", c))
        results.append(g.add("Unsqueeze", h, g.constant(np.int64([1]))))
        step += 1
    return g.add("Concat", *results, axis=1)


def wide(g, x, size):
    """One value with thousands of users, and a concatenation of all they make."""
    made = []
    while len(g.nodes) < size - 1:
        made.append(g.add("Relu", g.add("Mul", x, g.constant(np.float32(len(made) + 1)))))
    return g.add("Concat", *made, axis=1)


def shapes(g, x, size):
    """Shapes computed from shapes of a dynamic value, as exporters write them."""
    while len(g.nodes) < size:
        n = g.add("Gather", g.add("Shape", x), g.constant(np.int64(0)))
        target = g.add("Concat", g.add("Unsqueeze", n, g.constant(np.int64([0]))), g.constant(np.int64([-1])), axis=0)
        x = g.add("Tanh", g.add("Reshape", g.add("Reshape", x, target), g.constant(np.int64([-1, 8, 16, 16]))))
    return x


KINDS = {f.__name__: f for f in (mixed, residual, unrolled, wide, shapes)}


def model(kind, size, path):
    g = Chain()
    result = KINDS[kind](g, "x", size)
    batch = "batch" if kind == "shapes" else 1
    graph = helper.make_graph(
        g.nodes + [helper.make_node("Identity", [result], ["y"])],
        kind,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 8, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        g.constants,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def seconds(program, path):
    start = time.perf_counter()
    subprocess.run([program, "convert", path, "-o", path.with_suffix(".tflite"), "--quiet"], check=True)
    return time.perf_counter() - start


def main():
    root = Path(__file__).resolve().parent.parent
    arguments = sys.argv[1:]
    program = arguments.pop(0) if arguments and arguments[0] not in KINDS else root / "target/release/litesmith"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for kind in arguments or KINDS:
            model(kind, 40, path)
            start = min(seconds(program, path) for _ in range(3))
            before = None
            for size in SIZES:
                model(kind, size, path)
                taken = seconds(program, path) - start
                print(f"{kind:10} {size:6} operators {taken:8.2f} s" + (f"   x {taken / before:.1f}" if before else ""), flush=True)
                before = taken


if __name__ == "__main__":
    main()
