/* litesmith converts ONNX models to float and quantized .tflite files.
 *
 *     litesmith_conversion *c = litesmith_convert(model, size, "{\"quantize\": \"dynamic\"}");
 *     if (litesmith_error(c)) fprintf(stderr, "%s\n", litesmith_error(c));
 *     else { size_t n; const uint8_t *file = litesmith_bytes(c, &n); fwrite(file, 1, n, out); }
 *     litesmith_free(c);
 *
 * All text is UTF-8 and zero-terminated. Functions may be called from several threads. */
#ifndef LITESMITH_H
#define LITESMITH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A finished conversion, or why there is none. What it hands out is its own, and is valid until it is freed. */
typedef struct litesmith_conversion litesmith_conversion;

/* Converts the bytes of an ONNX model, which can have no external data. They are not needed after the call.
 *
 * `options` is null, or a JSON object of these fields, all of which may be left out:
 *   quantize            "none", "float16", "dynamic", "weights", "int8" or "int16x8"
 *   weights             {"bits": 8, "granularity": "channel" or "tensor", "block_size": null}
 *   symmetric           zero points of 0 for 8-bit activations
 *   calibration         path of samples for int8 and int16x8: a folder of .npz or .npy files, or one stacked .npz
 *   calibration_method  "auto", "minmax", "average", "entropy", "mse" or {"percentile": 99.999}
 *   recipe              rules for some of the operators: the text of a recipe in TOML, or the name of one
 *   io_types            {"all": "int8", "by_name": {"input": "uint8"}}
 *   target              "litert", "tflm", "ethos-u55", "ethos-u65", "ethos-u85", "edgetpu", "gpu" or "xnnpack"
 *   account             compare the quantized model with the float one, for the report
 *   shapes              {"input": [1, 3, 224, 224]}
 *   batch               size of the batch
 *   inputs, outputs     names of values to begin and to end at
 *   allow_custom        operators that become custom ones
 *   channels_last       "keep", "all" or {"names": ["input"]}
 *   float64             "keep" or "cast"
 *   unroll              loops of up to so many steps are written out
 * An unknown field is an error. */
litesmith_conversion *litesmith_convert(const uint8_t *model, size_t size, const char *options);

/* As litesmith_convert, from a file, with external data from beside it. */
litesmith_conversion *litesmith_convert_file(const char *path, const char *options);

/* Why there is no result; null where there is one. */
const char *litesmith_error(const litesmith_conversion *conversion);

/* The nodes that can't be converted: a JSON array of objects with node, index, op, opset, attribute, what and hint. Empty
 * where it is something else that went wrong. */
const char *litesmith_problems(const litesmith_conversion *conversion);

/* The .tflite file, and its size; null and 0 where there is none. */
const uint8_t *litesmith_bytes(const litesmith_conversion *conversion, size_t *size);

/* What the conversion did: a JSON object, as `litesmith convert --json` prints it; null where there is no result. */
const char *litesmith_report(const litesmith_conversion *conversion);

/* Null is allowed. */
void litesmith_free(litesmith_conversion *conversion);

/* "0.1.0" */
const char *litesmith_version(void);

#ifdef __cplusplus
}
#endif

#endif
