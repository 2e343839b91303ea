# tensorflow-model-optimization's tutorial "Quantization aware training in Keras example", on a given model.
# Arguments: baseline.h5 (Keras 2), MNIST (.npz), the file to write.
import sys

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.keras.compat import keras

path, mnist, output = sys.argv[1:]

data = np.load(mnist)
train_images, train_labels = data["x_train"] / 255.0, data["y_train"]
model = keras.models.load_model(path)

q_aware_model = tfmot.quantization.keras.quantize_model(model)
q_aware_model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
q_aware_model.fit(train_images[:1000], train_labels[:1000], batch_size=500, epochs=1, validation_split=0.1)

converter = tf.lite.TFLiteConverter.from_keras_model(q_aware_model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
with open(output, "wb") as file:
    file.write(converter.convert())
