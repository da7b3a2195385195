"""How fast litesmith converts and how much memory it takes, beside what merely loading and saving the model costs in Python.

  cargo build --release
  python benches/speed.py [--models ../shared/models] [--litesmith target/release/litesmith]

For each model: CPU seconds (user and system) and peak resident memory of one `litesmith convert`, the best of several runs, and
the same of `onnx.load` + `onnx.save`. The ResNet-50 is made by fixtures/models/make.py. Needs onnx and numpy.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOAD_AND_SAVE = "import onnx, sys; onnx.save(onnx.load(sys.argv[1]), sys.argv[2])"


def measure(command, runs):
    """Least CPU seconds and greatest peak memory in bytes over `runs` runs."""
    cpu, peak = float("inf"), 0
    for _ in range(runs):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise SystemExit(f"failed: {' '.join(map(str, command))}")
        cpu = min(cpu, usage.ru_utime + usage.ru_stime)
        peak = max(peak, usage.ru_maxrss * 1024)
    return cpu, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models")
    parser.add_argument("--litesmith", type=Path, default=ROOT / "target" / "release" / "litesmith")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        resnet, out = Path(folder) / "resnet50.onnx", Path(folder) / "out"
        subprocess.run([sys.executable, ROOT / "fixtures" / "models" / "make.py", "resnet50", resnet], check=True)
        models = {"resnet50": resnet}
        for name in ("arch/mobilenet_v2", "arch/yolov8n_like", "mnist/float"):
            path = args.models / name / "model.onnx"
            if path.exists():
                models[name] = path
            else:
                print(f"skipped: {path} is not there")
        print(f"{'model':20} {'file':>9} {'CPU':>8} {'peak':>10} {'of file':>8}   {'load+save CPU':>13} {'ratio':>6}")
        for name, path in models.items():
            size = path.stat().st_size
            cpu, peak = measure([args.litesmith, "convert", path, "-o", out, "--quiet"], args.runs)
            base, _ = measure([sys.executable, "-c", LOAD_AND_SAVE, path, out], 1)
            print(
                f"{name:20} {size / 1e6:7.1f}MB {cpu:7.3f}s {peak / 1e6:8.1f}MB {peak / size:7.2f}x   {base:12.3f}s {cpu / base:6.3f}"
            )


main()
