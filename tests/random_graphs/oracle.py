"""Runs models in ONNX Runtime, one after another, for whoever writes them to the standard input.

A message is its length (4 bytes, little endian) and its bytes. A request is two messages: a model, and a model whose initializers are
the inputs. The answer is one: a model whose initializers are the outputs, or whose name begins with "error: ".
"""

import struct
import sys

import numpy
import onnx
import onnxruntime
from onnx import helper, numpy_helper

options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 4


def receive():
    length = sys.stdin.buffer.read(4)
    if len(length) < 4:
        sys.exit()
    return sys.stdin.buffer.read(struct.unpack("<I", length)[0])


def run(model, inputs):
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(inputs).graph.initializer}
    names = [o.name for o in session.get_outputs()]
    return [numpy_helper.from_array(a, n) for n, a in zip(names, session.run(names, feeds))]


while True:
    model, inputs = receive(), receive()
    name = "answer"
    try:
        arrays = run(model, inputs)
    except Exception as e:  # whatever it is, the one who asked is told
        name, arrays = f"error: {e}", [numpy_helper.from_array(numpy.zeros(0, "f"), "nothing")]
    graph = helper.make_graph([], name, [], [onnx.ValueInfoProto(name=a.name) for a in arrays], arrays)
    answer = helper.make_model(graph, ir_version=8).SerializeToString()
    sys.stdout.buffer.write(struct.pack("<I", len(answer)) + answer)
    sys.stdout.buffer.flush()
