"""Calibration in parts, kept in files, and used later."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litesmith
from litesmith._samples import NamedArrays


@pytest.fixture
def samples(images: NamedArrays) -> list[dict[str, Any]]:
    return [dict(sample) for sample in images[:32]]


def test_parts_merge_to_the_whole(digits: Path, samples: list[dict[str, Any]], tmp_path: Path) -> None:
    whole = litesmith.calibrate(digits, samples)
    assert whole.samples == 32 and "image" in whole.values and repr(whole) == "<litesmith.Statistics of 32 samples>"
    halves = [litesmith.calibrate(digits, part) for part in (samples[:9], samples[9:])]
    shards = [litesmith.calibrate(digits, iter(samples), shard=(number, 3)) for number in (3, 1, 2)]
    assert halves[0].merge(halves[1]) == halves[1].merge(halves[0]) == shards[0].merge(*shards[1:]) == whole != halves[0]
    assert pickle.loads(pickle.dumps(whole)) == whole
    whole.save(tmp_path / "s.json")
    assert litesmith.Statistics.load(tmp_path / "s.json") == whole
    expected = bytes(litesmith.convert(digits, quantize="int8", calibration=samples))
    for given in (whole, tmp_path / "s.json", str(tmp_path / "s.json")):
        assert bytes(litesmith.convert(digits, quantize="int8", statistics=given)) == expected


def test_a_file_is_calibrated_too(digits: Path, samples: list[dict[str, Any]]) -> None:
    file = bytes(litesmith.convert(digits))
    seen = litesmith.calibrate(file, samples)
    by_samples = litesmith.quantize(file, quantize="int8", calibration=samples)
    assert bytes(litesmith.quantize(file, quantize="int8", statistics=seen)) == bytes(by_samples)


def test_a_checkpoint_is_taken_up(digits: Path, samples: list[dict[str, Any]], tmp_path: Path) -> None:
    kept = tmp_path / "part"
    assert litesmith.calibrate(digits, samples, checkpoint=kept) == litesmith.calibrate(digits, samples)


def test_what_does_not_fit_is_told(digits: Path, samples: list[dict[str, Any]], tmp_path: Path) -> None:
    seen = litesmith.calibrate(digits, samples)
    with pytest.raises(litesmith.CalibrationError, match="not of this model"):
        litesmith.convert(digits, quantize="int8", statistics=seen, channels_last=True)
    with pytest.raises(litesmith.CalibrationError, match="different"):
        seen.merge(litesmith.calibrate(digits, samples, outputs=["conv1_out"]))
    with pytest.raises(litesmith.OptionsError):
        litesmith.convert(digits, statistics=seen)
    (tmp_path / "s.json").write_text("{}")
    with pytest.raises(litesmith.CalibrationError):
        litesmith.Statistics.load(tmp_path / "s.json")
    with pytest.raises(FileNotFoundError):
        litesmith.convert(digits, quantize="int8", statistics="nowhere.json")
    with pytest.raises(litesmith.OptionsError, match="shard"):
        litesmith.calibrate(digits, samples, shard=(0, 2))
    for wrong in ([], [np.zeros((1, 1, 8, 9), np.float32)]):
        with pytest.raises(litesmith.CalibrationError):
            litesmith.calibrate(digits, wrong)
    with pytest.raises(TypeError):
        litesmith.calibrate(digits, None)  # type: ignore[arg-type]


def test_a_table_of_onnxruntime_is_taken(digits: Path) -> None:
    table = digits.with_name("ort_calibration.json")
    model = litesmith.convert(digits, quantize="int8", statistics=table)
    assert model.report["quantization"]["int8"] > 5
