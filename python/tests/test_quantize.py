"""Quantizing files, and what a result can be asked to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litesmith
from litesmith._samples import NamedArrays


@pytest.fixture
def samples(images: NamedArrays) -> list[dict[str, Any]]:
    return [dict(sample) for sample in images[:16]]


def test_every_kind_of_file_is_quantized(digits: Path, samples: list[dict[str, Any]], tmp_path: Path) -> None:
    model = litesmith.convert(digits)
    model.save(tmp_path / "m.tflite")
    content = bytes(model)
    given: list[Any] = [tmp_path / "m.tflite", str(tmp_path / "m.tflite"), content, memoryview(content), model]
    files = {bytes(litesmith.quantize(file, quantize="int8", calibration=samples)) for file in given}
    assert len(files) == 1
    small = litesmith.quantize(model, quantize="int8", calibration=samples)
    assert small.report.file_bytes < len(content) and small.origin is digits
    assert litesmith.quantize(content, recipe="dynamic_wi8_afp32").origin is None
    by_recipe = litesmith.quantize(content, quantize="dynamic", granularity="tensor")
    assert "weights" in by_recipe.report


def test_what_can_not_be_quantized_is_told(digits: Path) -> None:
    with pytest.raises(TypeError, match="quantize="):
        litesmith.quantize(digits.read_bytes())
    with pytest.raises(TypeError, match="list"):
        litesmith.quantize([1], quantize="dynamic")  # type: ignore[arg-type]
    with pytest.raises(litesmith.ModelError):
        litesmith.quantize(digits, quantize="dynamic")
    with pytest.raises(FileNotFoundError, match="nowhere.tflite"):
        litesmith.quantize("nowhere.tflite", quantize="dynamic")
    with pytest.raises(litesmith.OptionsError, match="calibration"):
        litesmith.quantize(litesmith.convert(digits), quantize="int8")


def test_a_search_gives_a_recipe(digits: Path, samples: list[dict[str, Any]]) -> None:
    plain = litesmith.convert(digits, quantize="int8", calibration=samples)
    assert plain.recipe is None
    for fallback in ("float", "int16x8"):
        found = litesmith.convert(
            digits, quantize="int8", calibration=samples, min_sqnr=39, evaluate=samples[:8], fallback=fallback
        )
        assert found.report["search"]["lifted"], found.report
        assert found.recipe is not None
        again = litesmith.convert(digits, quantize="int8", calibration=samples, recipe=found.recipe)
        assert bytes(again) == bytes(found) != bytes(plain)
    labels = np.zeros(len(samples), np.int64)
    kept = litesmith.convert(digits, quantize="int8", calibration=samples, max_drop=100, labels=labels)
    assert bytes(kept) == bytes(plain)
    assert kept.recipe is not None


def test_repairs_and_the_account(digits: Path, samples: list[dict[str, Any]], tmp_path: Path) -> None:
    model = litesmith.convert(digits, quantize="int8", calibration=samples, repair=["bias", "round"], account=True)
    assert [repaired["repair"] for repaired in model.report["repairs"]] == ["round", "bias"]
    model.save_account(tmp_path / "a.json")
    model.save_account(tmp_path / "a.html")
    assert json.loads((tmp_path / "a.json").read_text())["operators"]
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert litesmith.convert(digits, quantize="int8", calibration=samples, repair="auto").report["repairs"] is not None
    with pytest.raises(litesmith.OptionsError):
        litesmith.convert(digits).save_account(tmp_path / "b.json")


@pytest.mark.parametrize(
    "settings",
    [
        {"quantize": "dynamic", "min_sqnr": 30},
        {"quantize": "dynamic", "repair": "auto"},
        {"quantize": "dynamic", "symmetric": True},
        {"quantize": "int8", "repair": ["sand"]},
        {"account": True},
    ],
)
def test_settings_that_are_for_something_else(digits: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(litesmith.OptionsError):
        litesmith.convert(digits, **settings)


def test_samples_for_nothing(digits: Path, samples: list[dict[str, Any]]) -> None:
    with pytest.raises(litesmith.OptionsError, match="calibration"):
        litesmith.convert(digits, calibration=samples)
    with pytest.raises(litesmith.OptionsError, match="evaluate"):
        litesmith.convert(digits, quantize="int8", calibration=samples, evaluate=samples)
    for wrong in ({"max_drop": 1}, {"labels": [1]}, {"max_drop": 1, "labels": [1], "min_sqnr": 3}, {"max_drop": 1, "labels": [0.5]}):
        with pytest.raises(TypeError):
            litesmith.convert(digits, quantize="int8", calibration=samples, **wrong)


def test_types_of_inputs_and_outputs(digits: Path, samples: list[dict[str, Any]]) -> None:
    model = litesmith.convert(digits, quantize="int8", calibration=samples, io_types="int8")
    assert "QUANTIZE" not in model.report.operators
    one = litesmith.quantize(litesmith.convert(digits), quantize="int8", calibration=samples, io_types={"image": "uint8"})
    assert "uint8" in str(one.inspect())


def test_targets_are_checked(digits: Path, samples: list[dict[str, Any]], tmp_path: Path) -> None:
    model = litesmith.convert(digits, quantize="int8", calibration=samples, target="tflm")
    assert model.check("tflm").whole and model.report["target"]
    left = litesmith.check(bytes(litesmith.convert(digits)), "ethos-u55")
    assert not left.whole and "CONV_2D" in str(left)
    with pytest.raises(litesmith.OptionsError, match="toaster"):
        model.check("toaster")
    header, source = model.c_array("digits")
    assert "digits" in header and "AddConv2D" in header and "digits" in source


def test_an_import_takes_no_time(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import time; t = time.perf_counter(); import litesmith; print(time.perf_counter() - t)"
    times = [float(subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path)) for _ in range(5)]
    assert min(times) < 0.1, times


def test_accuracy_is_counted(digits: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install ai-edge-litert")
    test_set = digits.with_name("test.npz")
    with np.load(test_set) as stored:
        images, labels = stored["image"][:50], stored["labels"][:50]
    model = litesmith.convert(digits, quantize="dynamic")
    samples = [image[None] for image in images]
    found = model.verify(samples, labels=labels)
    assert found.accuracy is not None and found.accuracy.samples == 50
    assert found.accuracy.of_file > 0.9 and "accuracy" in str(found)
    found.raise_if_drop_exceeds(3).raise_if_worse_than(db=20)
    whole = model.verify(test_set)
    assert whole.accuracy is not None and whole.accuracy.samples == whole.samples == 360
    assert model.verify(samples).accuracy is None
    with pytest.raises(ValueError, match="labels"):
        model.verify(samples).raise_if_drop_exceeds(3)
    with pytest.raises(litesmith.VerificationError, match="49 labels for 50"):
        model.verify(samples, labels=labels[1:])
    with pytest.raises(litesmith.QualityError, match="accuracy"):
        found.raise_if_drop_exceeds(-1e9)
