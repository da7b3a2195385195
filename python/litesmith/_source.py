"""Models as people have them."""

from __future__ import annotations

import os
from typing import Any, Protocol, Union, runtime_checkable


@runtime_checkable
class Serializable(Protocol):
    """An ``onnx.ModelProto``, or what else protobuf makes."""

    def SerializeToString(self) -> bytes: ...


@runtime_checkable
class HasModelProto(Protocol):
    """A ``torch.onnx.ONNXProgram``."""

    @property
    def model_proto(self) -> Any: ...


TfliteFile = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview]
OnnxModel = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, Serializable, HasModelProto]


def source(model: OnnxModel) -> str | bytes:
    """A path, or the bytes of a file; bytes are not copied."""
    if isinstance(model, bytes):
        return model
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    if isinstance(model, (bytearray, memoryview)):
        return bytes(model)
    if isinstance(model, Serializable):
        return model.SerializeToString()
    if isinstance(model, HasModelProto):
        return source(model.model_proto)
    raise TypeError(f"a model is a path, bytes, an onnx.ModelProto or a torch ONNXProgram, not {type(model).__name__}")


def file(given: TfliteFile) -> str | bytes:
    """A path, or the bytes of a ``.tflite`` file."""
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    if isinstance(given, (str, os.PathLike)):
        return os.fspath(given)
    raise TypeError(f"a .tflite file is a path or bytes, not {type(given).__name__}")


def content(given: TfliteFile) -> bytes:
    """The bytes of a ``.tflite`` file."""
    found = file(given)
    if isinstance(found, bytes):
        return found
    with open(found, "rb") as opened:
        return opened.read()
