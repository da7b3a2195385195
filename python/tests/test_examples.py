"""The examples, run as their users run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import litesmith

ROOT = Path(__file__).resolve().parents[2]


def run(example: str, *arguments: object, folder: Path) -> str:
    script = ROOT / "examples" / example
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_torch_export_with_its_loader(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install ai-edge-litert")
    export = ROOT / "fixtures" / "torch" / "export.onnx"
    printed = run("torch/export.py", "--export", export, "-o", tmp_path / "m.tflite", folder=tmp_path)
    assert "accuracy" in printed and "linear" in printed
    assert "int8" in str(litesmith.inspect(tmp_path / "m.tflite"))


def test_a_file_is_quantized(digits: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install ai-edge-litert")
    litesmith.convert(digits).save(tmp_path / "float.tflite")
    samples = digits.with_name("calibration.npz")
    for scheme in ("int8", "dynamic"):
        arguments = ["float.tflite", "--samples", samples, "--scheme", scheme, "-o", "small.tflite"]
        assert "dB against the float file" in run("quantize/quantize.py", *arguments, folder=tmp_path)


def test_calibration_on_ray(digits: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install ray")
    samples = digits.with_name("calibration.npz")
    arguments = [digits, "--samples", samples, "--parts", "5", "--statistics", "s.json", "-o", "m.tflite"]
    assert "64 samples in 5 parts" in run("ray/calibrate.py", *arguments, folder=tmp_path)
    assert litesmith.Statistics.load(tmp_path / "s.json") == litesmith.calibrate(digits, samples)
    whole = litesmith.convert(digits, quantize="int8", calibration=samples)
    assert (tmp_path / "m.tflite").read_bytes() == bytes(whole)
