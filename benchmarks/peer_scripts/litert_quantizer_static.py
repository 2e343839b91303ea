# litert-quantizer's static int8 recipe, by its documentation.
# Arguments: fp32.tflite, calibration images (.npy), the file to write.
import sys

import numpy as np
from litert_quantizer import quantizer, recipe

model, calibration, output = sys.argv[1:]

qt = quantizer.Quantizer(model)
qt.load_quantization_recipe(recipe.static_wi8_ai8())
data = {"serving_default": [{"image": image[None]} for image in np.load(calibration)]}
ranges = qt.calibrate(data)
qt.quantize(ranges).export_model(output)
