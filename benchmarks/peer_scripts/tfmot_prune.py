# tensorflow-model-optimization's tutorial "Pruning in Keras example", on a given model: 50 to 80 % sparsity in two
# epochs, then, as its last section does, the converter's default (dynamic range) quantization.
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

batch_size, epochs, validation_split = 128, 2, 0.1
num_images = train_images.shape[0] * (1 - validation_split)
end_step = np.ceil(num_images / batch_size).astype(np.int32) * epochs
schedule = tfmot.sparsity.keras.PolynomialDecay(
    initial_sparsity=0.50, final_sparsity=0.80, begin_step=0, end_step=end_step
)
model_for_pruning = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
model_for_pruning.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
model_for_pruning.fit(
    train_images,
    train_labels,
    batch_size=batch_size,
    epochs=epochs,
    validation_split=validation_split,
    callbacks=callbacks,
)

model_for_export = tfmot.sparsity.keras.strip_pruning(model_for_pruning)
converter = tf.lite.TFLiteConverter.from_keras_model(model_for_export)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
with open(output, "wb") as file:
    file.write(converter.convert())
