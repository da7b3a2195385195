"""What files hold, and what can be converted."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Union

from litesmith import _litesmith
from litesmith._summary import Summary


class Inspection(Summary):
    """What a ``.tflite`` file holds: text for people, and a mapping for programs, as ``litesmith inspect --json`` prints it."""


def inspect(file: Union[str, os.PathLike[str], bytes]) -> Inspection:
    """Shows what a ``.tflite`` file holds: operators, tensors, shapes, types, scales, bytes by type.

    Args:
        file: A path, or the bytes of a file.

    Raises:
        ModelError: It is no sound ``.tflite`` file.
        OSError: It can't be read.
    """
    if not isinstance(file, bytes):
        with open(file, "rb") as opened:
            file = opened.read()
    text, fields = _litesmith.inspect(file)
    return Inspection(text, json.loads(fields))


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
