"""What can be converted, and what comes out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import litesmith


class Program:
    """Stands for a torch ONNXProgram."""

    def __init__(self, model_proto: onnx.ModelProto) -> None:
        self.model_proto = model_proto


def test_every_kind_of_model_gives_the_same_file(digits: Path) -> None:
    content = digits.read_bytes()
    proto = onnx.load(str(digits))
    expected = bytes(litesmith.convert(str(digits)))
    assert expected[4:8] == b"TFL3"
    given: list[Any] = [digits, content, bytearray(content), memoryview(content), proto, Program(proto)]
    for model in given:
        assert bytes(litesmith.convert(model)) == expected, type(model)


def test_what_is_no_model_is_named() -> None:
    with pytest.raises(TypeError, match="list"):
        litesmith.convert([1, 2])  # type: ignore[arg-type]
    with pytest.raises(litesmith.ModelError, match="not an ONNX model"):
        litesmith.convert(b"nonsense")
    with pytest.raises(FileNotFoundError, match="nowhere.onnx"):
        litesmith.convert("nowhere.onnx")


def test_a_saved_file_is_the_bytes(digits: Path, tmp_path: Path) -> None:
    model = litesmith.convert(digits, quantize="float16")
    model.save(tmp_path / "m.tflite")
    assert (tmp_path / "m.tflite").read_bytes() == bytes(model)
    with pytest.raises(OSError):
        model.save(tmp_path / "no" / "m.tflite")


def test_the_report_is_for_people_and_programs(digits: Path) -> None:
    model = litesmith.convert(digits, quantize="dynamic")
    assert model.report.file_bytes == len(bytes(model))
    assert model.report.operators["CONV_2D"] == 3
    assert "CONV_2D 3" in str(model.report)
    assert {"weights", "notes", "bytes"} <= set(model.report)


def test_unsupported_nodes_are_all_told(refused: Path) -> None:
    with pytest.raises(litesmith.UnsupportedError) as caught:
        litesmith.convert(refused)
    error = caught.value
    assert [p.op for p in error.all] == ["RandomNormalLike", "acme::Sift"]
    assert (error.node, error.op, error.opset, error.attribute) == ("draw", "RandomNormalLike", 17, None)
    assert error.hint and error.hint in str(error)
    assert isinstance(error, litesmith.ConversionError)


def test_settings_reach_the_converter(digits: Path, refused: Path) -> None:
    allowed = litesmith.convert(refused, allow_custom=["RandomNormalLike", "acme::Sift"])
    assert "RandomNormalLike" in str(allowed.inspect())
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    dynamic = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for fixed in (litesmith.convert(dynamic, batch=5), litesmith.convert(dynamic, shapes={"x": (5, 3)})):
        assert "5,3" in str(fixed.inspect()).replace(" ", "").replace("x", ",")
    last = litesmith.convert(digits, channels_last=["image"])
    assert last.report.operators == litesmith.convert(digits, channels_last=True).report.operators


def test_recipes_are_named_written_and_read(digits: Path, tmp_path: Path) -> None:
    assert len(litesmith.Recipe.NAMES) > 3
    named = litesmith.Recipe("dynamic_wi8_afp32")
    (tmp_path / "r.toml").write_text(str(named))
    assert litesmith.Recipe.load(tmp_path / "r.toml") == named
    files = [bytes(litesmith.convert(digits, recipe=given)) for given in (named, "dynamic_wi8_afp32")]
    assert files[0] == files[1] != bytes(litesmith.convert(digits))
    with pytest.raises(litesmith.OptionsError, match="recipe"):
        litesmith.Recipe("[[rule]]\nop = 3")


@pytest.mark.parametrize(
    "settings",
    [
        {"quantize": "int9"},
        {"quantize": "int8"},
        {"recipe": "nobody's"},
        {"target": "toaster"},
        {"io_types": "int4"},
        {"quantize": "dynamic", "block_size": 33},
        {"quantize": "dynamic", "weight_bits": 8, "block_size": 32},
        {"shapes": {"nobody": [1]}},
        {"channels_last": ["nobody"]},
    ],
)
def test_wrong_settings_are_refused(digits: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(litesmith.OptionsError):
        litesmith.convert(digits, **settings)


def test_operators_are_listed() -> None:
    operators = {o.op: o for o in litesmith.supported_ops() if not o.domain}
    assert len(operators) > 150
    assert operators["Conv"].versions[0] == 1 and "CONV_2D" in operators["Conv"].produces


def test_files_are_inspected(digits: Path, tmp_path: Path) -> None:
    model = litesmith.convert(digits)
    model.save(tmp_path / "m.tflite")
    of_file = litesmith.inspect(tmp_path / "m.tflite")
    assert dict(of_file) == dict(model.inspect())
    assert "CONV_2D" in str(of_file)
    with pytest.raises(litesmith.ModelError):
        litesmith.inspect(b"nonsense")


def test_the_command_is_there(digits: Path, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("litesmith")
    out = tmp_path / "m.tflite"
    done = subprocess.run([command, "convert", digits, "-o", out], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_bytes() == bytes(litesmith.convert(digits))
    assert subprocess.run([command, "--version"], capture_output=True, text=True).stdout == f"litesmith {litesmith.__version__}\n"
    for arguments, code in [(["convert", "nowhere.onnx"], 1), (["convert"], 2), (["nonsense"], 2)]:
        assert subprocess.run([command, *arguments], capture_output=True).returncode == code
    module = subprocess.run([sys.executable, "-m", "litesmith", "ops"], capture_output=True, text=True, cwd=tmp_path)
    assert module.returncode == 0 and "Conv" in module.stdout


def test_neither_onnx_nor_torch_is_imported(digits: Path, tmp_path: Path) -> None:
    code = f"import sys, litesmith; litesmith.convert({str(digits)!r}); print([m for m in ('onnx', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr


def test_arrays_of_other_orders_are_taken() -> None:
    from litesmith._samples import array

    plain = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.shares_memory(array(plain), plain) and not np.shares_memory(array(plain, copy=True), plain)
    for other in (np.asfortranarray(plain), plain.astype(">f4"), plain[:, ::1].T.copy().T):
        taken = array(other)
        assert taken.flags.c_contiguous and taken.dtype == np.dtype("=f4")
        np.testing.assert_array_equal(taken, plain)
