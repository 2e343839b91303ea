"""The operators that TensorFlow Lite for Microcontrollers has, and what its resolver calls them.

Source: tensorflow/lite/micro/micro_mutable_op_resolver.h of https://github.com/tensorflow/tflite-micro
"""

from __future__ import annotations

_KNOWN = """
ABS ADD ADD_N ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO CAST CEIL
CONCATENATION CONV_2D COS CUMSUM DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV ELU EMBEDDING_LOOKUP EQUAL EXP
EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH
L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOG_SOFTMAX LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC
MAX_POOL_2D MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE REDUCE_MAX RELU RELU6
RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE
TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK ZEROS_LIKE
"""
OPERATORS = frozenset(_KNOWN.split())
# Where the name is not the operator's in capitals at each underscore.
_NAMES = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


def lacking(kinds: list[str]) -> list[str]:
    """Which of a file's operators it has not, each once, in their order."""
    return list(dict.fromkeys(kind for kind in kinds if kind not in OPERATORS))


def method(kind: str) -> str:
    """What adds an operator to the resolver: ``AddConv2D`` for ``CONV_2D``."""
    return "Add" + _NAMES.get(
        kind, "".join(word[:1] + word[1:].lower() for word in kind.split("_")).replace("2d", "2D")
    )
