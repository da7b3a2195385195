"""A converted model."""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Mapping, Optional, Union

from litesmith import _litesmith, _runtime
from litesmith._inspect import Fit, Inspection, check, inspect
from litesmith._recipe import Recipe
from litesmith._samples import Labels, Samples, array
from litesmith._source import OnnxModel
from litesmith._summary import Summary
from litesmith._verify import Verification, verify

if TYPE_CHECKING:
    import numpy as np


class Report(Summary):
    """What a conversion did: text for people (``print(report)``), and a mapping for programs, as ``--json`` prints it."""

    @property
    def file_bytes(self) -> int:
        """Size of the ``.tflite`` file."""
        return int(self._fields["file_bytes"])

    @property
    def operators(self) -> dict[str, int]:
        """Operators of the result, by name."""
        return dict(self._fields["operators"])


class Model:
    """A converted model: made by :func:`litesmith.convert` and :func:`litesmith.quantize`."""

    def __init__(self, converted: _litesmith.Converted, origin: Optional[OnnxModel]) -> None:
        self._converted = converted
        self.origin = origin
        """The ONNX model that it was made from."""
        self._sessions: dict[tuple[int, bool], _litesmith.Session] = {}

    def __bytes__(self) -> bytes:
        return self._bytes

    def __repr__(self) -> str:
        return f"<litesmith.Model of {self.report.file_bytes} bytes>"

    @cached_property
    def _bytes(self) -> bytes:
        return self._converted.data()

    @cached_property
    def report(self) -> Report:
        """What the conversion did: sizes, operators, what stayed float and why."""
        return Report(self._converted.summary(), json.loads(self._converted.report()))

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes the file: it takes the place of what was at ``path`` once it is complete.

        Raises:
            OSError: It can't be written; what was at ``path`` is untouched.
        """
        self._converted.save(os.fspath(path))

    @property
    def recipe(self) -> Optional[Recipe]:
        """After a search (``min_sqnr``, ``max_drop``), the rules that give the same file without one."""
        text = self._converted.recipe()
        return Recipe(text) if text is not None else None

    def save_account(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes what each operator loses to quantization: a page of HTML where ``path`` ends in ``.html``, else JSON.

        Raises:
            OptionsError: The model was not converted with ``account=True``.
            OSError: It can't be written.
        """
        self._converted.save_account(os.fspath(path))

    def c_array(self, name: str = "model") -> tuple[str, str]:
        """A C header and source that hold the file as an array called ``name``, for firmware."""
        return self._converted.c_array(name)

    def inspect(self) -> Inspection:
        """What the file holds."""
        return inspect(self._bytes)

    def check(self, target: str) -> Fit:
        """What a runtime or an accelerator takes of the file: see :func:`litesmith.check`."""
        return check(self._bytes, target)

    def run(
        self, inputs: Mapping[str, Any], *, threads: int = 1, xnnpack: bool = True
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Runs the model once in LiteRT.

        Args:
            inputs: An array for each input, of its shape. Numbers are converted to its dtype where nothing but precision is lost.
            threads: Threads that the run uses.
            xnnpack: Whether XNNPACK's kernels may be used.

        Returns:
            The outputs by name.

        Raises:
            OptionsError: An array does not fit.
            RuntimeUnavailable: LiteRT is not installed.
            RunError: LiteRT can't run the file.
        """
        import numpy as np

        key = (threads, xnnpack)
        if key not in self._sessions:
            self._sessions[key] = _litesmith.Session(self._bytes, _runtime.library(), threads, xnnpack)
        session = self._sessions[key]
        dtypes = {name: dtype for name, dtype, _ in session.inputs()}
        given = [(name, _as(array(value), dtypes.get(name))) for name, value in inputs.items()]
        outputs = session.run(given)
        return {name: np.frombuffer(data, dtype).reshape(shape) for name, (dtype, shape, data) in outputs}

    def verify(
        self,
        inputs: Optional[Samples] = None,
        *,
        against: Optional[OnnxModel] = None,
        labels: Optional[Labels] = None,
        expected: Optional[Union[str, os.PathLike[str]]] = None,
        xnnpack: bool = True,
    ) -> Verification:
        """Runs the file in LiteRT and the ONNX model it came from in tract, and compares the outputs: see :func:`litesmith.verify`."""
        origin = against if against is not None else self.origin
        if origin is None:
            raise TypeError("there is no ONNX model to compare with: give one as `against`")
        return verify(self._bytes, origin, inputs, labels=labels, expected=expected, xnnpack=xnnpack)


def _as(value: np.ndarray[Any, Any], dtype: Optional[str]) -> np.ndarray[Any, Any]:
    """With the input's dtype, where that keeps the kind of number."""
    import numpy as np

    if dtype is None or dtype not in np.sctypeDict:
        return value
    return value.astype(dtype, copy=False) if np.can_cast(value.dtype, dtype, "same_kind") else value
