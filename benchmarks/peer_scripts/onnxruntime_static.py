# onnxruntime's quantize_static, by its documentation: pre-process, then QDQ with int8 weights.
# Arguments: fp32.onnx, calibration images (.npy), the file to write.
import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

model, calibration, output = sys.argv[1:]


class Reader(CalibrationDataReader):
    def __init__(self):
        self.feeds = iter([{"image": image[None]} for image in np.load(calibration)])

    def get_next(self):
        return next(self.feeds, None)


prepared = output + ".prepared"
quant_pre_process(model, prepared)
quantize_static(prepared, output, Reader(), quant_format=QuantFormat.QDQ, weight_type=QuantType.QInt8)
