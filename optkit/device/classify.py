"""``predict.py`` of a bundle: what the model says of pictures, or of rows of numbers in a .npy file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from optkit.device.pictures import Wanted, prepared
from optkit.device.ports import rescale
from optkit.device.sessions import LiteRTSession, OnnxRuntimeSession, declared, open_session
from optkit.errors import InputError

HERE = Path(__file__).resolve().parent
# What was declared when the model was compressed; a bundle has it written in here.
SETTINGS: dict[str, Any] = {}


def open_bundled(*, threads: int = 1, exact: bool = False) -> LiteRTSession | OnnxRuntimeSession:
    """The model of this folder, open; ``exact`` as in ``LiteRTSession``."""
    given, found = declared(SETTINGS["input"]), declared(SETTINGS["output"])
    return open_session(HERE / SETTINGS["model"], given, found, threads=threads, exact=exact)


def real(raw: np.ndarray) -> np.ndarray:
    """Real inputs float32 [n, …] of raw values [n, …], as the model was trained on."""
    fed = SETTINGS["preprocessing"]
    return rescale(raw, fed["scale"], fed["mean"], fed["std"])


def answers(outputs: np.ndarray) -> np.ndarray:
    """Class numbers int64 [n] of real outputs float32 [n, values]; for one value per example, that value."""
    task = SETTINGS["task"]
    if task["kind"] == "regression":
        return outputs[:, 0]
    if task["kind"] == "binary":
        over = outputs[:, 0] > (0.0 if task["outputs"] == "logits" else 0.5)
        return np.asarray(over, np.int64)
    return np.asarray(outputs.argmax(axis=1), np.int64)


def words(outputs: np.ndarray) -> str:
    """One line about one example's real outputs float32 [values]."""
    task, labels = SETTINGS["task"], SETTINGS["labels"]
    answer = answers(outputs[None])[0]
    if task["kind"] == "regression":
        return f"{answer:.6g}"
    shares = outputs.astype(np.float64)
    if task["outputs"] == "logits":
        shares = np.exp(shares - shares.max()) if len(shares) > 1 else 1 / (1 + np.exp(-shares))
        shares = shares / shares.sum() if len(shares) > 1 else shares
    sure = shares[answer] if len(shares) > 1 else (shares[0] if answer else 1 - shares[0])
    name = labels[answer] if answer < len(labels) else str(answer)
    return f"{name} ({sure:.1%})"


def raw_of(path: Path) -> np.ndarray:
    """Raw values [n, …] of a picture (n = 1) or of a .npy file.

    Raises:
        InputError: It is neither, or the model takes no pictures.
    """
    if path.suffix == ".npy":
        try:
            found: np.ndarray = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"expected raw values in {path}, found no .npy file: {error}") from error
        return found
    if SETTINGS["pictures"] is None:
        raise InputError(f"the model takes no pictures: expected a .npy file, found {path}")
    wanted = Wanted(**SETTINGS["pictures"])
    values, _ = prepared(path, wanted, stretch=SETTINGS["preprocessing"]["resize"] is not None, invert=None)
    raw: np.ndarray = values[None]
    return raw


def main() -> int:
    """Print a line for each example; 2 when one could not be read."""
    parser = argparse.ArgumentParser(description=f"Ask {SETTINGS['model']} about pictures, or rows of a .npy file.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true", help="print all outputs as JSON, one line for each example")
    given = parser.parse_args()
    status = 0
    try:
        session = open_bundled()
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    for path in given.files:
        try:
            for row in real(raw_of(path)):
                session.feed(session.to_native(row[None]))
                session.invoke()
                outputs = session.from_native(session.fetch())[0]
                print(
                    json.dumps({"file": str(path), "outputs": outputs.tolist()})
                    if given.json
                    else f"{path}: {words(outputs)}"
                )
        except InputError as error:
            print(f"Error: {error}", file=sys.stderr)
            status = 2
    return status


if __name__ == "__main__":
    sys.exit(main())
