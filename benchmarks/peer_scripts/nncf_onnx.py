# NNCF's post-training quantization of an ONNX model, by its documentation.
# Arguments: fp32.onnx, calibration images (.npy), the file to write.
import sys

import nncf
import numpy as np
import onnx

path, calibration, output = sys.argv[1:]

model = onnx.load(path)
input_name = model.graph.input[0].name
dataset = nncf.Dataset(np.load(calibration), lambda image: {input_name: image[None]})
quantized = nncf.quantize(model, dataset, subset_size=500)
onnx.save(quantized, output)
