"""Running and comparing in LiteRT."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import litesmith
from litesmith._samples import NamedArrays

pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install ai-edge-litert")


def reference(model: Path, inputs: dict[str, Any]) -> list[Any]:
    from onnx.reference import ReferenceEvaluator

    return list(ReferenceEvaluator(onnx.load(str(model))).run(None, inputs))


def test_runs_as_the_model_does(digits: Path, images: NamedArrays) -> None:
    model = litesmith.convert(digits)
    for sample in images[:3]:
        outputs = model.run(dict(sample))
        assert list(outputs) == ["logits"]
        (expected,) = reference(digits, dict(sample))
        np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-4)
    assert outputs["logits"].flags.writeable
    plain = model.run(dict(images[2]), threads=2, xnnpack=False)
    np.testing.assert_allclose(plain["logits"], outputs["logits"], rtol=1e-4, atol=1e-4)


def test_inputs_that_do_not_fit_are_told(digits: Path) -> None:
    model = litesmith.convert(digits)
    image = np.zeros((1, 1, 8, 8), np.float32)
    assert model.run({"image": image.astype(np.float64)})["logits"].shape == (1, 10)
    for wrong in ({}, {"picture": image}, {"image": image[:, :, :4]}, {"image": image.astype(np.complex64)}):
        with pytest.raises(litesmith.OptionsError):
            model.run(wrong)


def test_verifies(digits: Path, images: NamedArrays, tmp_path: Path) -> None:
    samples = [dict(sample) for sample in images[:8]]
    exact = litesmith.convert(digits)
    assert exact.verify().raise_if_worse_than(db=90).samples == 4
    small = litesmith.convert(digits.read_bytes(), quantize="int8", calibration=samples)
    found = small.verify(samples).raise_if_worse_than(db=20)
    assert found.samples == 8 and found.outputs[0].name == "logits" and found.worst_db == found.outputs[0].db
    assert small.verify([tuple(s.values()) for s in samples]) == found
    assert small.verify(samples, against=onnx.load(str(digits))) == found
    small.save(tmp_path / "m.tflite")
    assert litesmith.verify(tmp_path / "m.tflite", digits, samples) == found
    with pytest.raises(litesmith.QualityError, match="logits"):
        found.raise_if_worse_than(db=200)
    assert "logits" in str(found)


def test_threads_convert_side_by_side(digits: Path, images: NamedArrays) -> None:
    samples = [dict(sample) for sample in images[:8]]
    results: list[bytes] = []

    def work() -> None:
        for _ in range(5):
            results.append(bytes(litesmith.convert(digits, quantize="int8", calibration=samples)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20 and len(set(results)) == 1


def resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow(digits: Path, images: NamedArrays) -> None:
    content = digits.read_bytes()
    samples = [dict(sample) for sample in images[:2]]
    sizes = []
    for number in range(500):
        model = litesmith.convert(content, quantize="int8", calibration=samples)
        bytes(model)
        del model
        if number % 100 == 99:
            gc.collect()
            sizes.append(resident())
    # What the allocator keeps settles early: a leak of the file alone would be 9 kB a round, 3.5 MB from the first to the last.
    assert sizes[-1] - sizes[0] < 2_000_000, sizes
