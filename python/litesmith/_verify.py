"""Comparing files with models."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Union

from litesmith import _litesmith, _runtime
from litesmith._errors import QualityError
from litesmith._samples import Labels, Samples, array, integers, iterate
from litesmith._source import OnnxModel, source


@dataclass(frozen=True)
class OutputDifference:
    """How far one output is from what it should be, over all samples."""

    name: str
    db: float
    """Signal to noise: infinite where all is equal, negative infinite where something can't be compared."""
    max_abs: float
    elements: int
    mismatched: int
    """Integers that are not equal, and elements that are finite on one side alone."""


@dataclass(frozen=True)
class Accuracy:
    """How often the first output is largest where the label says: of classes, the right one."""

    samples: int
    file: int
    """Samples that the file gets right."""
    model: int
    """Samples that the ONNX model gets right."""

    @property
    def of_file(self) -> float:
        """What part of the samples the file gets right."""
        return self.file / max(self.samples, 1)

    @property
    def of_model(self) -> float:
        """What part of the samples the ONNX model gets right."""
        return self.model / max(self.samples, 1)

    @property
    def drop(self) -> float:
        """Percent of the samples that the file gets wrong beyond those of the ONNX model."""
        return 100.0 * (self.of_model - self.of_file)

    def __str__(self) -> str:
        of_file, of_model = 100.0 * self.of_file, 100.0 * self.of_model
        return f"accuracy {of_file:.2f} % of {self.samples} labels, of the ONNX model {of_model:.2f} %"


@dataclass(frozen=True)
class Verification:
    """What a comparison found."""

    outputs: tuple[OutputDifference, ...]
    samples: int
    runtime: str
    """LiteRT library that was used."""
    accuracy: Optional[Accuracy] = None
    """Where there were labels."""

    @property
    def worst_db(self) -> float:
        """Signal to noise of the worst output in dB."""
        return min((output.db for output in self.outputs), default=float("inf"))

    def raise_if_worse_than(self, db: float) -> Verification:
        """Raises QualityError unless every output reaches this signal-to-noise ratio."""
        bad = [f"{o.name}: {o.db:.2f} dB (max |error| {o.max_abs:.3e})" for o in self.outputs if o.db < db]
        if bad:
            raise QualityError(f"worse than {db} dB on {self.samples} samples: {'; '.join(bad)}")
        return self

    def raise_if_drop_exceeds(self, percent: float) -> Verification:
        """Raises QualityError where the file tells more of the labels wrong than this, beyond those of the ONNX model."""
        if self.accuracy is None:
            raise ValueError("there were no labels: verify(..., labels=...)")
        if self.accuracy.drop > percent:
            raise QualityError(f"{self.accuracy}: more than {percent} % lost")
        return self

    def __str__(self) -> str:
        rows = [f"{o.name:<32} {o.db:>8.2f} dB   max |error| {o.max_abs:.3e} over {o.elements} elements" for o in self.outputs]
        if self.accuracy is not None:
            rows.append(str(self.accuracy))
        return "\n".join(rows)


def verify(
    file: Union[str, os.PathLike[str], bytes],
    against: OnnxModel,
    inputs: Optional[Samples] = None,
    *,
    labels: Optional[Labels] = None,
    expected: Optional[Union[str, os.PathLike[str]]] = None,
    xnnpack: bool = True,
) -> Verification:
    """Runs a ``.tflite`` file in LiteRT and the ONNX model it came from in tract, and compares the outputs.

    Args:
        file: Path or bytes of the ``.tflite`` file.
        against: The ONNX model, as for :func:`litesmith.convert`.
        inputs: Samples, as for ``calibration``; made up where there are none. One ``.npz`` may also hold labels.
        labels: The class of each sample, to count how many are told right; the first output scores the classes.
        expected: A folder of outputs that another runtime stored, one ``.npz`` a sample, instead of running the ONNX model.
        xnnpack: Whether XNNPACK's kernels may be used.

    Raises:
        RuntimeUnavailable: LiteRT is not installed.
        VerificationError: The two can't be compared, or tract can't run the model.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="litesmith-") as folder:
        place = Path(folder)
        path = _stored(file, place / "model.tflite")
        onnx = _stored(source(against), place / "model.onnx")
        samples = _samples(inputs, path, place / "samples") if inputs is not None else None
        kept = os.fspath(expected) if expected is not None else None
        classes = integers(labels) if labels is not None else None
        library = _runtime.library()
        rows, count, runtime, told = _litesmith.verify(path, onnx, samples, classes, kept, library, xnnpack)
    accuracy = Accuracy(*told) if told is not None else None
    return Verification(tuple(OutputDifference(*row) for row in rows), count, runtime, accuracy)


def _stored(given: Union[str, os.PathLike[str], bytes], place: Path) -> str:
    """The path of what is given, at `place` where it was no file."""
    if not isinstance(given, bytes):
        return os.fspath(given)
    place.write_bytes(given)
    return str(place)


def _samples(inputs: Samples, file: str, folder: Path) -> str:
    """The path of the samples, in `folder` where they were no files."""
    if isinstance(inputs, (str, os.PathLike)):
        return os.fspath(inputs)
    import zipfile

    import numpy as np

    folder.mkdir()
    names: Optional[list[str]] = None
    for number, sample in enumerate(iterate(inputs)):
        values: Mapping[str, Any]
        if isinstance(sample, Mapping):
            values = sample
        else:
            if names is None:
                session = _litesmith.Session(Path(file).read_bytes(), _runtime.library(), 1, False)
                names = [name for name, _, _ in session.inputs()]
            ordered = sample if isinstance(sample, (tuple, list)) else [sample]
            if len(ordered) != len(names):
                raise ValueError(f"sample {number} has {len(ordered)} arrays, but the inputs are {names}")
            values = dict(zip(names, ordered))
        # As np.savez would, which does not take every name.
        with zipfile.ZipFile(folder / f"{number}.npz", "w") as archive:
            for name, value in values.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array(value))
    return str(folder)
