"""Writes the ONNX project's own operator tests to a folder, as the conformance test reads them.

    make.py FOLDER

`<name>.onnx` is the model, and `<name>.data` a model without nodes whose initializers and outputs are the inputs (`in:<name>`) and the
expected outputs (`out:<name>`). `index` lists the tests, with the reason where a test can't be asked of TFLite at all:
results that are random, values that are no tensors or of types that the format doesn't have, operators of training.

Needs: pip install onnx
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_node_model_tests

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
REPRESENTABLE = {
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BOOL,
    TensorProto.INT4, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
    TensorProto.UINT4, TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
}  # fmt: skip


def excluded(model):
    """Why the test can't be asked, or an empty string."""
    nodes = list(model.graph.node) + [n for f in model.functions for n in f.node]
    if any(n.op_type in RANDOM for n in nodes):
        return "random"
    if any(n.domain.startswith("ai.onnx.preview.training") for n in nodes):
        return "training"
    for value in [*model.graph.input, *model.graph.output]:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            return kind
        if value.type.tensor_type.elem_type not in REPRESENTABLE:
            return TensorProto.DataType.Name(value.type.tensor_type.elem_type)
    return ""


def named(value, name):
    """`value` as a TensorProto called `name`."""
    if not isinstance(value, TensorProto):
        value = numpy_helper.from_array(np.asarray(value))
    named = TensorProto()
    named.CopyFrom(value)
    named.name = name
    return named


def data(model, inputs, outputs):
    tensors = [named(v, f"in:{i.name}") for i, v in zip(model.graph.input, inputs)]
    tensors += [named(v, f"out:{o.name}") for o, v in zip(model.graph.output, outputs)]
    listed = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    graph = helper.make_graph([], "data", [], listed, initializer=tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_node_model_tests()
    for case in sorted(cases, key=lambda c: c.name):
        why = excluded(case.model)
        (folder / f"{case.name}.onnx").write_bytes(case.model.SerializeToString())
        if not why:
            ((inputs, outputs),) = case.data_sets  # Each test has one set.
            (folder / f"{case.name}.data").write_bytes(data(case.model, inputs, outputs).SerializeToString())
        index.append(f"{case.name} {why}".rstrip())
    # Last, so that a folder with an index is whole.
    (folder / "index").write_text("\n".join(index) + "\n")
    print(f"{len(index)} tests of onnx {onnx.__version__}")


main()
