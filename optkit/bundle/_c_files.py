"""C files of a bundle for a microcontroller: the model as an array, test vectors, the resolver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.bundle import _tflm_operators

if TYPE_CHECKING:
    from collections.abc import Sequence

_PER_LINE = 16
# What TensorFlow Lite asks of a model's bytes, and of the tensors in it.
ALIGNMENT = 16


def model_header(length: int) -> str:
    """Declares the array."""
    return f"""/* The model, a .tflite file of {length} bytes. */
#ifndef MODEL_DATA_H_
#define MODEL_DATA_H_

#ifdef __cplusplus
extern "C" {{
#endif

#define MODEL_DATA_LENGTH {length}u
extern const unsigned char g_model_data[MODEL_DATA_LENGTH];

#ifdef __cplusplus
}}
#endif

#endif /* MODEL_DATA_H_ */
"""


def model_source(content: bytes) -> str:
    """Defines it, aligned, in read-only memory."""
    return f"""#include "model_data.h"

#if defined(__GNUC__) || defined(__clang__)
__attribute__((aligned({ALIGNMENT})))
#elif defined(__ICCARM__)
#pragma data_alignment = {ALIGNMENT}
#endif
const unsigned char g_model_data[MODEL_DATA_LENGTH] = {{
{_lines(np.frombuffer(content, np.uint8), "0x{:02x}")}
}};
"""


def vectors_header(count: int, inputs: int, outputs: int, input_type: str, output_type: str) -> str:
    """Declares the test vectors."""
    return f"""/* {count} test examples as the model takes them, and what it answers. */
#ifndef TEST_VECTORS_H_
#define TEST_VECTORS_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define TEST_VECTOR_COUNT {count}
#define TEST_INPUT_LENGTH {inputs}
#define TEST_OUTPUT_LENGTH {outputs}
/* 1 where the model's own type is int8, 2 where it is int16. */
#define TEST_INPUT_BYTES {np.dtype(input_type).itemsize}
#define TEST_OUTPUT_BYTES {np.dtype(output_type).itemsize}

extern const {input_type}_t g_test_inputs[TEST_VECTOR_COUNT][TEST_INPUT_LENGTH];
extern const {output_type}_t g_test_outputs[TEST_VECTOR_COUNT][TEST_OUTPUT_LENGTH];

#ifdef __cplusplus
}}
#endif

#endif /* TEST_VECTORS_H_ */
"""


def vectors_source(inputs: np.ndarray, outputs: np.ndarray) -> str:
    """Defines them.

    Args:
        inputs: Integers [count, values].
        outputs: Integers [count, values].
    """
    return f"""#include "test_vectors.h"

const {inputs.dtype.name}_t g_test_inputs[TEST_VECTOR_COUNT][TEST_INPUT_LENGTH] = {{
{_rows(inputs)}
}};

const {outputs.dtype.name}_t g_test_outputs[TEST_VECTOR_COUNT][TEST_OUTPUT_LENGTH] = {{
{_rows(outputs)}
}};
"""


def resolver(kinds: Sequence[str]) -> str:
    """A function that adds the operators of the model, and no others.

    Args:
        kinds: Each once.
    """
    adding = " ||\n      ".join(f"resolver.{_tflm_operators.method(kind)}() != kTfLiteOk" for kind in kinds)
    return f"""/* The operators that the model uses, and no others: each costs flash. */
#ifndef MODEL_OPERATORS_H_
#define MODEL_OPERATORS_H_

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

using ModelOpResolver = tflite::MicroMutableOpResolver<{len(kinds)}>;

inline TfLiteStatus AddModelOperators(ModelOpResolver& resolver) {{
  if ({adding}) {{
    return kTfLiteError;
  }}
  return kTfLiteOk;
}}

#endif  // MODEL_OPERATORS_H_
"""


def stub_resolver(kinds: Sequence[str]) -> str:
    """Stands for TensorFlow's header where its sources are not: it has what main.cc names, and does nothing."""
    methods = "\n".join(f"  TfLiteStatus {_tflm_operators.method(kind)}() {{ return Count(); }}" for kind in kinds)
    return f"""// A stand-in with the names that main.cc uses; it runs nothing. See README.md.
#ifndef STUB_MICRO_MUTABLE_OP_RESOLVER_H_
#define STUB_MICRO_MUTABLE_OP_RESOLVER_H_

#include "tensorflow/lite/c/common.h"

namespace tflite {{

class MicroOpResolver {{}};

template <unsigned int kCount>
class MicroMutableOpResolver : public MicroOpResolver {{
 public:
{methods}

 private:
  TfLiteStatus Count() {{ return ++added_ > kCount ? kTfLiteError : kTfLiteOk; }}
  unsigned int added_ = 0;
}};

}}  // namespace tflite

#endif  // STUB_MICRO_MUTABLE_OP_RESOLVER_H_
"""


STUBS = {
    "tensorflow/lite/c/common.h": """// A stand-in with the names that main.cc uses; it runs nothing. See README.md.
#ifndef STUB_COMMON_H_
#define STUB_COMMON_H_

#include <stddef.h>
#include <stdint.h>

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
enum TfLiteType { kTfLiteInt16 = 7, kTfLiteInt8 = 9 };

union TfLitePtrUnion {
  int8_t* int8;
  int16_t* i16;
  void* data;
};

struct TfLiteTensor {
  TfLiteType type;
  TfLitePtrUnion data;
  size_t bytes;
};

#endif  // STUB_COMMON_H_
""",
    "tensorflow/lite/schema/schema_generated.h": """// A stand-in with the names that main.cc uses. See README.md.
#ifndef STUB_SCHEMA_GENERATED_H_
#define STUB_SCHEMA_GENERATED_H_

#include <stdint.h>

#define TFLITE_SCHEMA_VERSION (3)

namespace tflite {

struct Model {
  uint32_t version() const { return TFLITE_SCHEMA_VERSION; }
};

inline const Model* GetModel(const void* data) { return static_cast<const Model*>(data); }

}  // namespace tflite

#endif  // STUB_SCHEMA_GENERATED_H_
""",
    "tensorflow/lite/micro/micro_log.h": """// A stand-in with the names that main.cc uses. See README.md.
#ifndef STUB_MICRO_LOG_H_
#define STUB_MICRO_LOG_H_

inline void MicroPrintf(const char*, ...) {}

#endif  // STUB_MICRO_LOG_H_
""",
    "tensorflow/lite/micro/system_setup.h": """// A stand-in with the names that main.cc uses. See README.md.
#ifndef STUB_SYSTEM_SETUP_H_
#define STUB_SYSTEM_SETUP_H_

namespace tflite {
inline void InitializeTarget() {}
}  // namespace tflite

#endif  // STUB_SYSTEM_SETUP_H_
""",
    "tensorflow/lite/micro/micro_interpreter.h": """// A stand-in with the names that main.cc uses. See README.md.
#ifndef STUB_MICRO_INTERPRETER_H_
#define STUB_MICRO_INTERPRETER_H_

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace tflite {

class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t*, size_t) {}
  TfLiteStatus AllocateTensors() { return kTfLiteError; }
  TfLiteStatus Invoke() { return kTfLiteError; }
  TfLiteTensor* input(size_t) { return nullptr; }
  TfLiteTensor* output(size_t) { return nullptr; }
  size_t arena_used_bytes() const { return 0; }
};

}  // namespace tflite

#endif  // STUB_MICRO_INTERPRETER_H_
""",
}
"""Headers that stand for TensorFlow's, by path; the resolver's is made for each model."""


def _rows(values: np.ndarray) -> str:
    return ",\n".join(f"    {{\n{_lines(row, '{}')}}}" for row in values)


def _lines(values: np.ndarray, form: str) -> str:
    texts = [form.format(value) for value in values.tolist()]
    starts = range(0, len(texts), _PER_LINE)
    return ",\n".join("    " + ", ".join(texts[start : start + _PER_LINE]) for start in starts)
