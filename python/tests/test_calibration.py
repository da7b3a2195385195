"""Samples in all the forms that people have."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import litesmith
from litesmith._samples import NamedArrays


class Reader:
    """As onnxruntime's CalibrationDataReader."""

    def __init__(self, samples: list[dict[str, Any]]) -> None:
        self.samples = iter(samples)

    def get_next(self) -> Optional[dict[str, Any]]:
        return next(self.samples, None)


class TorchLike:
    """As a tensor of torch: NumPy may have it after `detach` alone."""

    def __init__(self, data: np.ndarray[Any, Any]) -> None:
        self.data = data

    def detach(self) -> TorchLike:
        return self

    def cpu(self) -> np.ndarray[Any, Any]:
        return self.data


class Loader:
    """As a DataLoader: iterable, of a known length, no list."""

    def __init__(self, images: list[Any]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[list[TorchLike]]:
        return ([TorchLike(image)] for image in self.images)


def test_every_kind_of_samples_gives_the_same_file(digits: Path, images: NamedArrays, tmp_path: Path) -> None:
    plain = [sample[0][1] for sample in images][:8]
    named = [{"image": image} for image in plain]

    def generator() -> Iterator[list[Any]]:
        yield from ([image] for image in plain)

    def one_buffer() -> Iterator[Any]:
        buffer = np.empty_like(plain[0])
        for image in plain:
            buffer[:] = image
            yield buffer

    for number, image in enumerate(plain):
        np.savez(tmp_path / f"{number}.npz", image=image)
    kinds: dict[str, Any] = {
        "dicts": named,
        "tuples": [(image,) for image in plain],
        "arrays": plain,
        "lists of numbers": [[image.tolist()] for image in plain],
        "float64": [image.astype(np.float64) for image in plain],
        "iterator": iter(named),
        "generator": generator(),
        "function": generator,
        "one buffer": one_buffer,
        "reader": Reader(named),
        "loader": Loader(plain),
        "folder": tmp_path,
        "path as text": str(tmp_path),
    }
    # Lists of numbers are float64 to NumPy.
    files = {kind: bytes(litesmith.convert(digits, quantize="int8", calibration=given)) for kind, given in kinds.items()}
    assert len(set(files.values())) == 1, [kind for kind, file in files.items() if file != files["dicts"]]


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [{"picture": np.zeros((1, 1, 8, 8), np.float32)}],
        [np.zeros((1, 1, 8, 9), np.float32)],
        [np.zeros((1, 1, 8, 8), np.int32)],
        [(np.zeros((1, 1, 8, 8), np.float32),) * 2],
        [np.full((1, 1, 8, 8), np.nan, np.float32)],
        "nowhere",
    ],
)
def test_samples_that_do_not_fit_are_told(digits: Path, wrong: Any) -> None:
    with pytest.raises(litesmith.CalibrationError):
        litesmith.convert(digits, quantize="int8", calibration=wrong)


def test_what_are_no_samples_is_told(digits: Path) -> None:
    one = np.zeros((1, 1, 8, 8), np.float32)
    for wrong in (one, 3, [{"image": one}, one], [np.array(["text"])]):
        with pytest.raises(TypeError):
            litesmith.convert(digits, quantize="int8", calibration=wrong)  # type: ignore[arg-type]

    def broken() -> Iterator[Any]:
        yield one
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        litesmith.convert(digits, quantize="int8", calibration=broken)


def test_progress_is_told(digits: Path, images: NamedArrays) -> None:
    calls: list[tuple[str, int, int]] = []
    samples = [dict(sample) for sample in images] * 20
    litesmith.convert(digits, quantize="int8", calibration=samples, progress=lambda *call: calls.append(call))
    assert all(done <= total for stage, done, total in calls if stage == "calibrate")

    def stop(stage: str, done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        litesmith.convert(digits, quantize="int8", calibration=samples, progress=stop)


def slow_model() -> bytes:
    """Matrix products that take some seconds on a thousand samples."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [512, 512])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [512, 512])
    weights = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32) / 32
    nodes = [helper.make_node("MatMul", [f"v{i}" if i else "x", "w"], [f"v{i + 1}" if i < 7 else "y"]) for i in range(8)]
    graph = helper.make_graph(nodes, "slow", [x], [y], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("doing", ["convert", "calibrate", "quantize"])
def test_ctrl_c_is_heard(doing: str) -> None:
    model, sample = slow_model(), np.ones((512, 512), np.float32)
    pressed = 0.0

    def press() -> None:
        nonlocal pressed
        time.sleep(1.0)
        pressed = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)

    samples = [sample] * 2000
    file = bytes(litesmith.convert(model))
    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        if doing == "convert":
            litesmith.convert(model, quantize="int8", calibration=samples)
        elif doing == "calibrate":
            litesmith.calibrate(model, samples)
        else:
            litesmith.quantize(file, quantize="int8", calibration=samples)
    assert time.monotonic() - pressed < 1.0


def test_a_bar_of_tqdm_is_shown(digits: Path, images: NamedArrays, capsys: pytest.CaptureFixture[str]) -> None:
    from litesmith._progress import Bar

    class Shown:
        n = 0

        def __init__(self, total: int, desc: str, disable: Optional[bool]) -> None:
            print(desc, total)

        def update(self, steps: int) -> None:
            self.n += steps

        def close(self) -> None:
            print("closed at", self.n)

    bar = Bar(Shown)
    for call in [("read", 0, 0), ("calibrate", 0, 0), ("calibrate", 1, 4), ("calibrate", 4, 4), ("quantize", 0, 0)]:
        bar(*call)
    bar.close()
    assert capsys.readouterr().out == "calibrate 4\nclosed at 4\n"
