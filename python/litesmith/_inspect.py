"""What files hold, and what can be converted."""

from __future__ import annotations

import json
from dataclasses import dataclass

from litesmith import _litesmith
from litesmith._source import TfliteFile, content
from litesmith._summary import Summary


class Inspection(Summary):
    """What a ``.tflite`` file holds: text for people, and a mapping for programs, as ``litesmith inspect --json`` prints it."""


class Fit(Summary):
    """What a runtime or an accelerator takes of a file: text for people, and a mapping for programs, as ``litesmith check --json``."""

    @property
    def whole(self) -> bool:
        """Whether nothing is left to a CPU."""
        return not self._fields["left"]


def inspect(file: TfliteFile) -> Inspection:
    """Shows what a ``.tflite`` file holds: operators, tensors, shapes, types, scales, bytes by type.

    Args:
        file: A path, or the bytes of a file.

    Raises:
        ModelError: It is no sound ``.tflite`` file.
        OSError: It can't be read.
    """
    text, fields = _litesmith.inspect(content(file))
    return Inspection(text, json.loads(fields))


def check(file: TfliteFile, target: str) -> Fit:
    """Tells which operators of a ``.tflite`` file a runtime or an accelerator does not take, and what to change.

    Args:
        file: A path, or the bytes of a file.
        target: As for :func:`litesmith.convert`.

    Raises:
        ModelError: It is no sound ``.tflite`` file.
        OptionsError: There is no such target.
        OSError: It can't be read.
    """
    text, fields = _litesmith.check(content(file), target)
    return Fit(text, json.loads(fields))


@dataclass(frozen=True)
class Operator:
    """An ONNX operator that is converted."""

    domain: str
    """Empty for ONNX's own."""
    op: str
    versions: tuple[int, ...]
    """Versions of the operator set that changed it."""
    accepts: str
    produces: str
    """What it becomes."""
    refuses: str


def supported_ops() -> list[Operator]:
    """The ONNX operators that are converted, by domain and name."""
    return [
        Operator(row["domain"], row["op"], tuple(row["versions"]), row["accepts"], row["produces"], row["refuses"])
        for row in _litesmith.operators()
    ]
