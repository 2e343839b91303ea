"""Keras files and SavedModels that must be refused, and odd ones that need not be."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import h5py

if TYPE_CHECKING:
    from pathlib import Path


def make_keras_files(root: Path) -> None:
    import keras
    import tf_keras

    # What a Lambda would leave behind if its code ran; the path stands in the bytecode.
    scope = {"CANARY": str(root / "canary")}
    exec(f"def leave(x):\n    open({scope['CANARY']!r}, 'w').close()\n    return x\n", scope)  # noqa: S102
    leave: Any = scope["leave"]
    code = eval(f"lambda x: [open({scope['CANARY']!r}, 'w').close(), x][1]", scope)  # noqa: S307
    for library, name in ((keras, "lambda3"), (tf_keras, "lambda2")):
        model = library.Sequential([library.Input((4,)), library.layers.Lambda(code, name="evil")])
        model.save(root / f"{name}.keras")
        model.save(root / f"{name}.h5")
    (root / "canary").unlink(missing_ok=True)
    named = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(leave, output_shape=(4,), name="named")])
    named.save(root / "named.keras")
    (root / "canary").unlink(missing_ok=True)
    for source, target, edit in (
        ("three.keras", "many_units.keras", {"units": 3_000_000_000}),
        ("two.keras", "many_units2.keras", {"units": 3_000_000_000}),
    ):
        _edited(root / source, root / target, edit)
    with h5py.File(root / "many_units.h5", "w") as file, h5py.File(root / "two.h5") as two:
        two.copy("model_weights", file)
        for key, value in two.attrs.items():
            file.attrs[key] = value
        config = json.loads(two.attrs["model_config"])
        config["config"]["layers"][-1]["config"]["units"] = 3_000_000_000
        file.attrs["model_config"] = json.dumps(config)
    wide = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.UpSampling2D(30_000), keras.layers.ReLU()])
    wide.save(root / "wide.keras")


def _edited(source: Path, target: Path, last_layer: dict[str, Any]) -> None:
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][-1]["config"] |= last_layer
                content = json.dumps(config).encode()
            after.writestr(name, content)


def make_saved_models(root: Path) -> None:
    import tensorflow as tf

    kernel = tf.Variable(tf.ones((4, 3)), name="kernel")

    def module(serve: Any, shape: list[int | None] | None, dtype: Any = tf.float32) -> Any:
        made = tf.Module()
        made.kernel = kernel
        made.serve = tf.function(serve, input_signature=[tf.TensorSpec(shape, dtype, "x")])
        return made

    def write(x: Any) -> Any:
        tf.io.write_file(str(root / "canary"), "x")
        return x @ kernel

    def read(x: Any) -> Any:
        return x @ kernel + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)

    def python(x: Any) -> Any:
        return tf.reshape(tf.numpy_function(lambda y: y, [x], tf.float32), (-1, 4)) @ kernel

    def shown(x: Any) -> Any:
        tf.print("hello", x)
        return x @ kernel

    def table(x: Any) -> Any:
        found = made_table.lookup(tf.cast(x, tf.int64))
        return tf.cast(found, tf.float32) @ kernel

    made_table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.range(3, dtype=tf.int64), [1, 2, 3]), 0
    )
    for name, serve in {"writes": write, "reads": read, "python": python, "prints": shown, "table": table}.items():
        one = module(serve, [None, 4])
        one.table = made_table
        tf.saved_model.save(one, str(root / name), signatures=one.serve)
    honest = module(lambda x: {"first": x @ kernel, "second": tf.nn.softmax(x @ kernel)}, [None, 4])
    tf.saved_model.save(honest, str(root / "two_outputs"), signatures=honest.serve)

    def loop(x: Any) -> Any:
        _, found = tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y + x @ kernel), (0, x @ kernel))
        return found

    looping = module(loop, [None, 4])
    tf.saved_model.save(looping, str(root / "loops"), signatures=looping.serve)
    for name, shape in (("fixed_batch", [1, 4]), ("any_size", [None, None]), ("no_rank", None)):
        one = module(lambda x: tf.reshape(x, (-1, 4)) @ kernel, shape)
        tf.saved_model.save(one, str(root / name), signatures=one.serve)
    texts = module(lambda x: tf.strings.length(x), [None], tf.string)  # noqa: PLW0108
    tf.saved_model.save(texts, str(root / "texts"), signatures=texts.serve)


def make_broken_folders(root: Path) -> None:
    (root / "empty_graph").mkdir()
    (root / "empty_graph" / "saved_model.pb").write_bytes(b"")
    (root / "noise").mkdir()
    (root / "noise" / "saved_model.pb").write_bytes(bytes(range(256)) * 8)
    linked = root / "linked"
    (linked / "variables").mkdir(parents=True)
    (linked / "saved_model.pb").write_bytes((root / "two_tf" / "saved_model.pb").read_bytes())
    for one in (root / "two_tf" / "variables").iterdir():
        (linked / "variables" / one.name).symlink_to(one)
    cut = root / "cut_variables"
    (cut / "variables").mkdir(parents=True)
    (cut / "saved_model.pb").write_bytes((root / "two_tf" / "saved_model.pb").read_bytes())
    for one in (root / "two_tf" / "variables").iterdir():
        content = one.read_bytes()
        (cut / "variables" / one.name).write_bytes(content if one.suffix == ".index" else content[:40])
