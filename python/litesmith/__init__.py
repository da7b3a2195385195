"""Converts ONNX models to float and quantized ``.tflite`` files, and runs and compares these.

>>> model = litesmith.convert("model.onnx", quantize="int8", calibration=loader)
>>> model.save("model.tflite")
>>> print(model.report)
>>> model.verify(inputs).raise_if_worse_than(db=30)

Work is done in Rust without the interpreter's lock: threads may convert side by side, and Ctrl-C is heard. Neither ``onnx`` nor
``torch`` is imported.
"""

from litesmith._convert import convert, quantize
from litesmith._errors import (
    CalibrationError,
    ConversionError,
    InternalError,
    LitesmithError,
    ModelError,
    OptionsError,
    Problem,
    QualityError,
    RunError,
    RuntimeUnavailable,
    UnsupportedError,
    VerificationError,
)
from litesmith._inspect import Fit, Inspection, Operator, check, inspect, supported_ops
from litesmith._litesmith import __version__
from litesmith._recipe import Recipe
from litesmith._model import Model, Report
from litesmith._settings import Images
from litesmith._statistics import Statistics, calibrate
from litesmith._verify import Accuracy, OutputDifference, Verification, verify

__all__ = [
    "Accuracy",
    "CalibrationError",
    "ConversionError",
    "Fit",
    "Images",
    "Inspection",
    "InternalError",
    "LitesmithError",
    "Model",
    "ModelError",
    "Operator",
    "OptionsError",
    "OutputDifference",
    "Problem",
    "QualityError",
    "Recipe",
    "Report",
    "RunError",
    "RuntimeUnavailable",
    "Statistics",
    "UnsupportedError",
    "Verification",
    "VerificationError",
    "__version__",
    "calibrate",
    "check",
    "convert",
    "inspect",
    "quantize",
    "supported_ops",
    "verify",
]
