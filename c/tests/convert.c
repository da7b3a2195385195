/* Converts argv[1] from memory and from its file, and asks for what goes wrong. Prints the first failed check. */
#include "litesmith.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size);
    CHECK(bytes != NULL && fread(bytes, 1, *size, file) == *size);
    fclose(file);
    return bytes;
}

static size_t converted_size(litesmith_conversion *conversion) {
    size_t size = 0;
    if (litesmith_error(conversion)) fprintf(stderr, "%s\n", litesmith_error(conversion));
    CHECK(litesmith_error(conversion) == NULL);
    const uint8_t *file = litesmith_bytes(conversion, &size);
    CHECK(file != NULL && size > 8 && memcmp(file + 4, "TFL3", 4) == 0);
    CHECK(strstr(litesmith_report(conversion), "\"file_bytes\"") != NULL);
    CHECK(strcmp(litesmith_problems(conversion), "[]") == 0);
    return size;
}

static void expect_error(litesmith_conversion *conversion, const char *part) {
    size_t size = 1;
    CHECK(litesmith_error(conversion) != NULL);
    if (!strstr(litesmith_error(conversion), part)) fprintf(stderr, "got: %s\n", litesmith_error(conversion));
    CHECK(strstr(litesmith_error(conversion), part) != NULL);
    CHECK(litesmith_bytes(conversion, &size) == NULL && size == 0);
    CHECK(litesmith_report(conversion) == NULL);
    litesmith_free(conversion);
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    size_t size;
    uint8_t *model = read_file(argv[1], &size);
    CHECK(strlen(litesmith_version()) >= 5);

    litesmith_conversion *plain = litesmith_convert(model, size, NULL);
    litesmith_conversion *small = litesmith_convert(model, size, "{\"quantize\": \"float16\"}");
    char options[4096];
    snprintf(options, sizeof options, "{\"quantize\": \"int8\", \"calibration\": \"%s\"}", argv[2]);
    litesmith_conversion *int8 = litesmith_convert_file(argv[1], options);
    CHECK(converted_size(small) < converted_size(plain));
    CHECK(converted_size(int8) < converted_size(small));
    CHECK(strstr(litesmith_report(int8), "\"int8\"") != NULL);
    litesmith_free(plain);
    litesmith_free(small);
    litesmith_free(int8);

    expect_error(litesmith_convert(model, size / 2, NULL), "not an ONNX model");
    expect_error(litesmith_convert(model, 0, NULL), "");
    expect_error(litesmith_convert(NULL, 0, NULL), "null");
    expect_error(litesmith_convert(model, size, "{"), "options");
    expect_error(litesmith_convert(model, size, "{\"quantise\": \"int8\"}"), "quantise");
    expect_error(litesmith_convert(model, size, "{\"quantize\": \"int8\"}"), "calibration");
    expect_error(litesmith_convert(model, size, "{\"shapes\": {\"nobody\": [1]}}"), "nobody");
    expect_error(litesmith_convert_file("/nowhere/model.onnx", NULL), "/nowhere/model.onnx");
    expect_error(litesmith_convert_file(NULL, NULL), "null");
    expect_error(NULL, "memory");
    free(model);

    model = read_file(argv[3], &size);
    litesmith_conversion *refused = litesmith_convert(model, size, NULL);
    CHECK(litesmith_error(refused) != NULL);
    CHECK(strstr(litesmith_problems(refused), "\"hint\":\"") != NULL);
    litesmith_free(refused);
    free(model);
    puts("ok");
    return 0;
}
