"""Jobs that run in workers: make model files of every kind, honest and hostile, and take them in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import importing_hostile
import numpy as np

from optkit import baselines, keras_models, registry, runtimes
from optkit.errors import InputError
from optkit.exporters import ExportJob
from optkit.keras_models import _builtin, importing, outputs
from optkit.schema import Recipe, Step

if TYPE_CHECKING:
    from optkit.workers import Tell

OBJECTS = """
import keras
import tf_keras
from keras.layers import Dense  # not an own class: it must not take the place of tf_keras's

class Twice(keras.Layer):
    def call(self, x):
        return x * 2

@keras.saving.register_keras_serializable("mine")
class Thrice(keras.Layer):
    def call(self, x):
        return x * 3

class Twice2(tf_keras.layers.Layer):
    def call(self, x):
        return x * 2

class Branches(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.wide, self.out = keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")
    def call(self, x):
        return self.out(self.wide(keras.ops.reshape(x, (-1, 64))) * 0.5)
    def get_config(self):
        return {}

def bent(x):
    return keras.ops.tanh(x) + 0.1 * x
"""


def net(keras: Any, *, own: str | None = None, name: str = "net") -> Any:
    """A small network with a branch, in Keras 3 or tf_keras; with a layer of an own class where one is named."""
    layers = keras.layers
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(6.0, name="six")(x)
    if own:
        x = _objects()[own](name="own")(x)
    side = layers.Conv2D(4, 1, activation="relu", name="side")(x)
    x = layers.Flatten(name="flat")(layers.Add(name="sum")([x, side]))
    return alive(keras.Model(image, layers.Dense(3, activation="softmax", name="out")(x), name=name))


def alive(model: Any) -> Any:
    """Weights at random, statistics too, so that every layer matters."""
    generator = np.random.default_rng(7)
    model.set_weights(
        [
            generator.normal(0, 1.4 / np.sqrt(one[..., 0].size), one.shape)
            if one.ndim > 1
            else generator.uniform(0.5, 1, one.shape)
            for one in model.get_weights()
        ]
    )
    return model


def images(shape: tuple[int, ...] = (8, 8, 1), count: int = 64) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 1, (count, *shape)).astype(np.float32)


_LOADED: dict[str, Any] = {}


def _objects() -> dict[str, Any]:
    if not _LOADED:
        exec(OBJECTS, _LOADED)  # noqa: S102  # a user's own file, written above
    return _LOADED


def make_files(tell: Tell, *, folder: str) -> list[str]:  # noqa: ARG001
    """Every kind of file, with the outputs that are expected of it beside it."""
    import keras
    import tensorflow as tf
    import tf_keras

    root = Path(folder)
    (root / "objects.py").write_text(OBJECTS)
    (root / "fails.py").write_text("raise ValueError('broken')\n")
    (root / "nothing.py").write_text("x = 1\n")
    x = images()
    three, two = net(keras), net(tf_keras)
    three.save(root / "three.keras")
    three.save(root / "three.h5")
    three.export(root / "three_exported", verbose=False)
    two.save(root / "two.keras")
    two.save(root / "two.h5")
    two.save(root / "two_saved", save_format="tf")
    tf.saved_model.save(two, str(root / "two_tf"))
    expected = {"three": three.predict(x, verbose=0), "two": two.predict(x, verbose=0)}
    for name, library, own in (
        ("own3", keras, "Twice"),
        ("own3_registered", keras, "Thrice"),
        ("own2", tf_keras, "Twice2"),
    ):
        model = net(library, own=own)
        model.save(root / f"{name}.keras")
        model.save(root / f"{name}.h5")
        expected[name] = model.predict(x, verbose=0)
    subclassed = _objects()["Branches"]()
    expected["subclassed"] = subclassed.predict(x, verbose=0)
    subclassed.save(root / "subclassed.keras")
    bent = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=_objects()["bent"], name="bending")])
    bent.save(root / "bent.keras")
    mixed = tf_keras.Sequential(
        [tf_keras.Input((8, 8, 1)), tf_keras.layers.Flatten(), tf_keras.layers.Dense(3, dtype="mixed_float16")]
    )
    mixed.save(root / "mixed.h5")
    expected["mixed"] = mixed.predict(x, verbose=0)
    tf_keras.Sequential([tf_keras.layers.Dense(3)]).save(root / "unbuilt.keras")
    keras.Sequential([keras.layers.Dense(3)]).save(root / "unbuilt3.keras")
    for library, name in ((keras, "lenet3"), (tf_keras, "lenet2")):
        lenet = baselines.build("lenet5") if library is tf_keras else _lenet3(keras)
        lenet = alive(lenet)
        lenet.save_weights(root / f"{name}.weights.h5")
        expected[name] = lenet.predict(images((28, 28, 1)), verbose=0)
        if library is tf_keras:
            lenet.save_weights(root / "lenet2.h5")
    for name, answers in expected.items():
        np.save(root / f"{name}.npy", answers)
    importing_hostile.make_keras_files(root)
    importing_hostile.make_saved_models(root)
    importing_hostile.make_broken_folders(root)
    return sorted(one.name for one in root.iterdir())


def _lenet3(keras: Any) -> Any:
    """LeNet-5 as a user of Keras 3 would write it, with other names."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(20, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(50, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(500, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def take_in(tell: Tell, *, cases: dict[str, dict[str, str]], target: str) -> None:  # noqa: ARG001
    """Import files one after the other; writes of each what came of it, or the error."""
    found: dict[str, Any] = {}
    for name, arguments in cases.items():
        try:
            found[name] = _take_in(**arguments)
        except Exception as error:  # noqa: BLE001  # the test tells what it thinks of it
            found[name] = {"error": type(error).__name__, "message": str(error)}
    Path(target).write_text(json.dumps(found))


def _take_in(
    path: str,
    *,
    baseline: str | None = None,
    custom: str | None = None,
    expected: str | None = None,
) -> dict[str, Any]:
    """Import a file, and say what came of it and how far its outputs are from the expected ones."""
    made = importing.import_model(Path(path), baseline=baseline, custom_objects=Path(custom) if custom else None)
    difference = None
    if expected:
        x = images(made.model.input_shape[1:])
        difference = float(np.abs(made.model.predict(x, verbose=0) - np.load(expected)).max())
    return {
        "source": made.source,
        "post_training_only": made.post_training_only,
        "rebuilt_difference": made.difference,
        "notes": made.notes,
        "layers": [layer.name for layer in made.model.layers],
        "inputs": list(made.model.input_names),
        "outputs": list(made.model.output_names),
        "kind": outputs.output_kind(made.model),
        "difference": difference,
        "policies": sorted({layer.dtype_policy.name for layer in made.model.layers}),
    }


def save(tell: Tell, *, cases: dict[str, str | None], folder: str) -> list[str]:  # noqa: ARG001
    """Save imported models; digests of what is on disk, in the order of their names."""
    digests = {}
    for path, custom in cases.items():
        made = importing.import_model(Path(path), custom_objects=Path(custom) if custom else None)
        target = Path(folder) / f"{Path(path).name}.saved_model"
        keras_models.save(made.model, target)
        files = sorted(one for one in target.rglob("*") if one.is_file())
        left = [one.name for one in target.parent.iterdir() if one.name.startswith(".optkit-tmp")]
        assert not left, left
        content = b"".join(one.name.encode() + one.read_bytes() for one in files)
        digests[path] = hashlib.sha256(content).hexdigest()
    return [digests[path] for path in sorted(digests)]


def export_all(tell: Tell, *, path: str, custom: str | None, folder: str) -> dict[str, Any]:  # noqa: ARG001
    """Import, save, load, and export in every precision of both formats; what each file answers."""
    made = importing.import_model(Path(path), custom_objects=Path(custom) if custom else None)
    saved = Path(folder) / f"{Path(path).stem}.saved_model"
    keras_models.save(made.model, saved)
    model = keras_models.load(saved)
    x = images(model.input_shape[1:])
    reference = model.predict(x, verbose=0)
    results: dict[str, Any] = {
        "reloaded": float(np.abs(reference - made.model.predict(x, verbose=0)).max()),
        "eager": float(np.abs(reference - np.asarray(model(x))).max()),
        "names": [model.input_names[0], model.output_names[0]],
    }
    for name in registry.names("exporters"):
        exporter = registry.load("exporters", name)
        for precision in exporter.PRECISIONS:
            # TensorFlow's own calibration crashes on loops.
            if Path(path).name == "loops" and exporter.FORMAT == "tflite" and precision.startswith("int"):
                continue
            target = Path(folder) / f"{Path(path).stem}.{precision}.{exporter.FORMAT}"
            try:
                exporter.export(ExportJob(Recipe("any", (Step(precision),)), x), model, target)
            except InputError as error:
                results[target.suffix[1:] + " " + precision] = str(error)
                continue
            session = runtimes.open_model(target)
            answers = session.from_native(runtimes.predict(session, x))
            results[target.suffix[1:] + " " + precision] = float(np.abs(answers - reference).max())
    return results


def run_keras(tell: Tell, *, folder: str, files: list[str]) -> list[Any]:  # noqa: ARG001
    """The runtime of ``.keras`` files on some: how far the answers are from the expected ones, or the refusal."""
    found: list[Any] = []
    for file in files:
        try:
            session = runtimes.open_model(Path(folder) / f"{file}.keras")
        except InputError as error:
            found.append(str(error))
            continue
        answers = session.from_native(runtimes.predict(session, images()))
        found.append(float(np.abs(answers - np.load(Path(folder) / f"{file}.npy")).max()))
    return found


def look_up(tell: Tell) -> dict[str, list[bool]]:  # noqa: ARG001
    """What both libraries say to have: all of the first list, none of the second."""
    three, two = _builtin.keras3(frozenset()), _builtin.keras2(frozenset())
    return {
        "there": [
            three.has_class("keras.layers", "Dense"),
            three.has_class("keras", "Sequential"),
            three.has_class("keras.src.models.functional", "Functional"),
            three.has_class("keras.src.ops.numpy", "Add"),
            three.has_class("keras.src.applications.convnext", "LayerScale"),
            three.has_class(None, "GlorotUniform"),
            three.has_class("keras.initializers", "GlorotUniform"),
            three.has_class("keras", "DTypePolicy"),
            three.has_function("builtins", "relu"),
            three.has_function("keras.ops", "relu"),
            three.has_function(None, "silu"),
            two.has_class("keras.layers", "Dense"),
            two.has_class("keras.src.engine.functional", "Functional"),
            two.has_class(None, "Functional"),
            two.has_class(None, "GlorotUniform"),
            two.has_class(None, "Policy"),
            two.has_function(None, "relu"),
            two.has_function("builtins", "swish"),
        ],
        "not there": [
            three.has_class("os", "system"),
            three.has_class("keras.utils", "get_file"),
            three.has_class("keras.utils", "Sequence"),
            three.has_class("keras.callbacks", "ModelCheckpoint"),
            three.has_class("keras.src.saving.saving_lib", "H5IOStore"),
            three.has_class("keras.src.utils.file_utils", "Path"),
            three.has_function("keras.utils", "get_file"),
            three.has_function("os", "system"),
            three.has_function(None, "get_file"),
            two.has_class("os", "system"),
            two.has_class("subprocess", "Popen"),
            two.has_class("keras.callbacks", "ModelCheckpoint"),
            two.has_class("tf_keras.src.saving.saving_lib", "H5IOStore"),
            two.has_class(None, "ModelCheckpoint"),
            two.has_function("keras.utils", "get_file"),
            two.has_function(None, "tf"),
            two.has_function(None, "os"),
            two.has_function("os", "system"),
        ],
    }
