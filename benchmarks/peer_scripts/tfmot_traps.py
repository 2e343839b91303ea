# What tensorflow-model-optimization's tutorials leave their reader to find out, measured; not a peer itself.
# Arguments: baseline.h5 (Keras 2), MNIST (.npz), the JSON file to write.
import json
import sys

import keras as keras_3
import numpy as np
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.keras.compat import keras

path, mnist, output = sys.argv[1:]

data = np.load(mnist)
train_images, train_labels = data["x_train"][:12800] / 255.0, data["y_train"][:12800]
test_images, test_labels = data["x_test"] / 255.0, data["y_test"]
found = {}


def state(model):
    answers = model.predict(test_images, batch_size=500, verbose=0).argmax(axis=1)
    kernel = model.get_layer("dense_1").get_weights()[0]
    return {"correct": int((answers == test_labels).sum()), "zeros": float((kernel == 0).mean())}


model = keras.models.load_model(path)
found["baseline before prune_low_magnitude"] = state(model)
schedule = tfmot.sparsity.keras.ConstantSparsity(0.8, begin_step=0, frequency=10)
pruned = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
pruned.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
pruned.fit(train_images, train_labels, batch_size=128, epochs=1, verbose=0, callbacks=callbacks)
found["the same baseline object after training the pruned model"] = state(model)

newer = keras_3.Sequential([keras_3.layers.Input((28, 28, 1)), keras_3.layers.Flatten(), keras_3.layers.Dense(2)])
for wrap in (tfmot.sparsity.keras.prune_low_magnitude, tfmot.quantization.keras.quantize_model):
    try:
        wrap(newer)
        found[f"{wrap.__name__} of a Keras {keras_3.__version__} model"] = "accepted"
    except Exception as error:
        found[f"{wrap.__name__} of a Keras {keras_3.__version__} model"] = (
            f"{type(error).__name__}: {error}".splitlines()[0][:200]
        )

with open(output, "w") as file:
    json.dump(found, file)
