"""Calibration in parts, kept in files, and used later."""

from __future__ import annotations

import pickle
import struct
import zlib
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


def picture(pixels: np.ndarray[Any, Any]) -> bytes:
    """A grey PNG of 8-bit pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(np.uint8))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_pictures_are_samples(digits: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8))
    for number, one in enumerate(pixels):
        (tmp_path / f"{number}.png").write_bytes(picture(one))
    images: litesmith.Images = {"mean": [0.25], "std": [0.5]}
    arrays = [((one / 255 - 0.25) / 0.5).astype(np.float32)[None, None] for one in pixels]
    expected = litesmith.convert(digits, quantize="int8", calibration=arrays)
    model = litesmith.convert(digits, quantize="int8", calibration=tmp_path, images=images)
    assert model.report["quantization"] == expected.report["quantization"]
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install ai-edge-litert")
    found, wanted = model.verify(arrays, against=digits), expected.verify(arrays, against=digits)
    assert abs(found.worst_db - wanted.worst_db) < 1
    assert litesmith.calibrate(digits, tmp_path, images=images).samples == 6
    (tmp_path / "7.png").write_bytes(picture(np.zeros((16, 16))))
    with pytest.raises(litesmith.CalibrationError, match="7.png"):
        litesmith.calibrate(digits, tmp_path)
    assert litesmith.calibrate(digits, tmp_path, images={"resize": "stretch"}).samples == 7
