"""Conversion."""

from __future__ import annotations

import json
import os
from typing import Any, Literal, Mapping, Optional, Sequence, Union

from litesmith import _litesmith
from litesmith._model import Model
from litesmith._progress import Listener, Shown
from litesmith._recipe import Recipe
from litesmith._samples import Labels, Samples
from litesmith._settings import Fallback, Images, IoType, Method, Quantize, Repairs, Target, samples, settings, shaping
from litesmith._source import OnnxModel, TfliteFile, file, source
from litesmith._statistics import Statistics, native


def convert(
    model: OnnxModel,
    *,
    quantize: Quantize = "none",
    calibration: Optional[Samples] = None,
    statistics: Union[Statistics, str, "os.PathLike[str]", None] = None,
    images: Optional[Images] = None,
    calibration_method: Method = "auto",
    percentile: float = 99.999,
    recipe: Union[Recipe, str, None] = None,
    weight_bits: Optional[Literal[8, 4]] = None,
    granularity: Literal["channel", "tensor"] = "channel",
    block_size: Optional[Literal[32, 64, 128, 256]] = None,
    symmetric: bool = False,
    io_types: Union[IoType, Mapping[str, IoType]] = "float32",
    repair: Repairs = "none",
    min_sqnr: Optional[float] = None,
    max_drop: Optional[float] = None,
    labels: Optional[Labels] = None,
    evaluate: Optional[Samples] = None,
    fallback: Fallback = "float",
    account: bool = False,
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
) -> Model:
    """Converts an ONNX model to ``.tflite``.

    Args:
        model: A path (external data lies beside it), the bytes of a file, an ``onnx.ModelProto``, or what
            ``torch.onnx.export(..., dynamo=True)`` gives.
        quantize: How numbers are stored and computed. ``int8`` and ``int16x8`` need ``calibration``.
        calibration: Samples: a folder of ``.npz`` or ``.npy`` files, or an iterable, function or reader of samples. A sample holds
            arrays of the model's input shapes and dtypes (floats of another width, and int32 for int64, will do), by name in a
            dict, in the model's order in a tuple or list, or alone.
        statistics: What :func:`calibrate` saw, instead of running samples here; or a file of it, or a calibration table of ONNX Runtime.
        images: How pictures (PNG, JPEG) in a folder of samples become numbers: ``{"mean": [0.5], "std": [0.5], "resize": "stretch"}``.
        calibration_method: How ranges follow from what calibration saw.
        percentile: Percent of the elements that ``percentile`` keeps.
        recipe: Rules for some of the operators, or the name of a recipe of ai-edge-quantizer; ``quantize`` holds for all others.
        weight_bits: Bits of the weights: 8, or 4, which is usual with ``block_size``.
        granularity: What shares a scale: an output channel or the whole tensor.
        block_size: One scale for so many 4-bit weights.
        symmetric: Zero points of 0 for 8-bit activations.
        io_types: What inputs and outputs that hold real numbers are stored as: all of them, or single ones by name.
        repair: Changes of weights and biases that make the model quantize better: ``auto`` keeps what helps on samples that it did
            not learn from; or names of single ones.
        min_sqnr: Lift operators out of int8 until every output has this signal-to-noise ratio against the float model, in dB;
            :attr:`Model.recipe` then gives the same without a search.
        max_drop: Lift operators until no more than so many percent of the samples are told wrong beyond those of the float model.
        labels: The class of each sample, for ``max_drop``; the first output scores the classes.
        evaluate: Samples that ``min_sqnr`` and ``max_drop`` are measured on instead of ``calibration``.
        fallback: What lifted operators become.
        account: Compare the quantized model with the float one on up to 16 samples, operator by operator, for the report.
        target: What the file is made for: what it lacks is written otherwise, or refused.
        shapes: Extents of inputs that are dynamic.
        batch: Size of the batch: of dynamic extents of inputs whose name contains "batch", or else stand first.
        inputs: Values of the model to begin at instead of its inputs.
        outputs: Values of the model to end at instead of its outputs.
        allow_custom: Operators (``Op`` or ``domain::Op``) that become custom ones of that name.
        channels_last: ``True`` for all inputs and outputs of rank 3 and more, or their names.
        float64: Whether float64 inputs and outputs stay or become float32.
        unroll: Loops of up to so many steps are written out.
        progress: ``False`` for no bar; or a function that is told the stage, the steps done, and all steps. By default a bar where
            tqdm is installed and standard error is a terminal.

    Returns:
        The converted model: save it, run it, compare it, read its report.

    Raises:
        UnsupportedError: Nodes can't be expressed: all of them are listed.
        ModelError: What was given is no sound ONNX model.
        OptionsError: A setting does not fit the model or another setting.
        CalibrationError: A sample does not fit the model or can't be run.
        OSError: The file can't be read.
    """
    given = source(model)
    options = settings(
        quantize=quantize,
        calibration_method=calibration_method,
        percentile=percentile,
        recipe=recipe,
        weight_bits=weight_bits,
        granularity=granularity,
        block_size=block_size,
        symmetric=symmetric,
        io_types=io_types,
        repair=repair,
        min_sqnr=min_sqnr,
        max_drop=max_drop,
        labels=labels,
        fallback=fallback,
        account=account,
        images=images,
    )
    options |= shaping(
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
    with Shown(progress) as listener:
        converted = _litesmith.convert(
            given, json.dumps(options), samples(calibration), native(statistics), samples(evaluate), listener
        )
    return Model(converted, model)


def quantize(
    model: Union[TfliteFile, Model],
    *,
    quantize: Quantize = "none",
    calibration: Optional[Samples] = None,
    statistics: Union[Statistics, str, "os.PathLike[str]", None] = None,
    images: Optional[Images] = None,
    calibration_method: Method = "auto",
    percentile: float = 99.999,
    recipe: Union[Recipe, str, None] = None,
    weight_bits: Optional[Literal[8, 4]] = None,
    granularity: Literal["channel", "tensor"] = "channel",
    block_size: Optional[Literal[32, 64, 128, 256]] = None,
    symmetric: bool = False,
    io_types: Union[IoType, Mapping[str, IoType]] = "float32",
    repair: Repairs = "none",
    min_sqnr: Optional[float] = None,
    max_drop: Optional[float] = None,
    labels: Optional[Labels] = None,
    evaluate: Optional[Samples] = None,
    fallback: Fallback = "float",
    account: bool = False,
    progress: Union[bool, Listener, None] = None,
) -> Model:
    """Quantizes a float ``.tflite`` file, also one that was made elsewhere. What is not quantized stays as it is.

    Args:
        model: A path, the bytes of a file, or a converted model.
        quantize: How numbers are stored and computed; this or ``recipe`` must be given.
        calibration: Samples, as for :func:`convert`; by name, inputs may be called as the graph or as its signature calls them.
        statistics: As for :func:`convert`, and so are all others.

    Returns:
        The quantized model. A model that came from ONNX can still be compared with it.

    Raises:
        ModelError: What was given is no sound ``.tflite`` file.
        OptionsError: A setting does not fit the model or another setting.
        CalibrationError: A sample does not fit the model or can't be run.
        OSError: The file can't be read.
    """
    if quantize == "none" and recipe is None:
        raise TypeError("say how to quantize: quantize=... or recipe=...")
    options = settings(
        quantize=quantize,
        calibration_method=calibration_method,
        percentile=percentile,
        recipe=recipe,
        weight_bits=weight_bits,
        granularity=granularity,
        block_size=block_size,
        symmetric=symmetric,
        io_types=io_types,
        repair=repair,
        min_sqnr=min_sqnr,
        max_drop=max_drop,
        labels=labels,
        fallback=fallback,
        account=account,
        images=images,
    )
    given, origin = (bytes(model), model.origin) if isinstance(model, Model) else (file(model), None)
    with Shown(progress) as listener:
        converted = _litesmith.quantize(
            given, json.dumps(options), samples(calibration), native(statistics), samples(evaluate), listener
        )
    return Model(converted, origin)
