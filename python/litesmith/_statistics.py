"""Calibration apart from conversion: on other machines, in parts, once for many conversions."""

from __future__ import annotations

import json
import os
from typing import Any, Literal, Mapping, Optional, Sequence, Union

from litesmith import _litesmith
from litesmith._progress import Listener, Shown
from litesmith._samples import Samples
from litesmith._settings import Images, Target, samples as taken, shaping
from litesmith._source import OnnxModel, source


class Statistics:
    """What calibration saw of every value of a model: ranges and histograms, no samples.

    Made by :func:`calibrate`. Statistics of parts of the samples merge to those of all, to the bit, in any order; they can be pickled, as
    for workers of Ray or multiprocessing. They belong to one model and to the options that change its float graph.
    """

    def __init__(self, native: _litesmith.Statistics) -> None:
        self._native = native

    @classmethod
    def load(cls, path: Union[str, os.PathLike[str]]) -> Statistics:
        """Reads a file of :meth:`save`, or of ``litesmith calibrate``.

        Raises:
            CalibrationError: It is something else, or damaged.
            OSError: It can't be read.
        """
        return cls(_litesmith.Statistics.load(os.fspath(path)))

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes a file: it takes the place of what was at ``path`` once it is complete.

        Raises:
            OSError: It can't be written; what was at ``path`` is untouched.
        """
        self._native.save(os.fspath(path))

    def merge(self, *others: Statistics) -> Statistics:
        """What was seen here and there.

        Raises:
            CalibrationError: They are of different models, or of one with different options.
        """
        merged = self._native
        for other in others:
            merged = merged.merge(other._native)
        return Statistics(merged)

    @property
    def samples(self) -> int:
        """The number of samples that were seen."""
        return self._native.samples()

    @property
    def values(self) -> list[str]:
        """Names of the values that were seen."""
        return self._native.values()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statistics) and self._native.equals(other._native)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<litesmith.Statistics of {self.samples} samples>"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return _unpickled, (self._native.text(),)


def _unpickled(text: str) -> Statistics:
    return Statistics(_litesmith.Statistics.parse(text))


def native(given: Union[Statistics, str, os.PathLike[str], None]) -> Union[_litesmith.Statistics, str, None]:
    """Statistics as the native module takes them."""
    if isinstance(given, Statistics):
        return given._native
    return os.fspath(given) if given is not None else None


def calibrate(
    model: OnnxModel,
    samples: Samples,
    *,
    shard: Optional[tuple[int, int]] = None,
    checkpoint: Optional[Union[str, os.PathLike[str]]] = None,
    images: Optional[Images] = None,
    target: Target = "litert",
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    batch: Optional[int] = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    allow_custom: Sequence[str] = (),
    channels_last: Union[bool, Sequence[str]] = False,
    float64: Literal["keep", "cast"] = "keep",
    unroll: Optional[int] = None,
    progress: Union[bool, Listener, None] = None,
) -> Statistics:
    """Runs a float model on samples and collects what :func:`litesmith.convert` and :func:`litesmith.quantize` need of them.

    Args:
        model: As for :func:`litesmith.convert`; or a float ``.tflite`` file that is to be quantized, as a path or bytes.
        samples: As ``calibration`` for :func:`litesmith.convert`.
        shard: Part I of N of the samples, ``(1, N)`` to ``(N, N)``: every N-th one from the I-th on.
        checkpoint: A file to keep, every few seconds, what was seen so far; a later run on the same samples goes on from there.
        images: As for :func:`litesmith.convert`.
        target: This and all others change the float graph, and must be those of the conversion.

    Raises:
        CalibrationError: A sample does not fit the model or can't be run.
        ModelError, UnsupportedError, OptionsError, OSError: As for :func:`litesmith.convert`.
    """
    options = shaping(
        target=target,
        shapes=shapes,
        batch=batch,
        inputs=inputs,
        outputs=outputs,
        allow_custom=allow_custom,
        channels_last=channels_last,
        float64=float64,
        unroll=unroll,
    )
    options["images"] = images or {}
    kept = os.fspath(checkpoint) if checkpoint is not None else None
    given = taken(samples)
    if given is None:
        raise TypeError("there are no samples")
    with Shown(progress) as listener:
        return Statistics(_litesmith.calibrate(source(model), json.dumps(options), given, shard, kept, listener))
