"""Asks one model about pictures in this process: started fresh by ``predict``, since a decoder or runtime may crash."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from optkit import data, readback, runtimes
from optkit.device import pictures
from optkit.errors import InputError, OptkitError
from optkit.pipeline import predict_preprocessing
from optkit.pipeline.confidence import meaning_in_file
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.readback import ModelFacts
    from optkit.runtimes import Session


def run(job: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    """Open the model, tell what it takes, then answer picture by picture.

    Tells ``model`` once, then ``picture`` (before it is read), and ``answer`` or ``unreadable`` for each.

    Raises:
        InputError: The model cannot be opened, or takes no pictures.
    """
    path = Path(job["file"])
    facts = _facts(path)
    session = runtimes.open_model(path)
    if len(session.inputs) != 1:
        names = ", ".join(repr(port.name) for port in session.inputs)
        raise InputError(
            f"expected a model with one input, a picture; {path} has {names}: judge it on data with optkit benchmark"
        )
    (port,) = session.inputs
    given = None if job["preprocessing"] is None else msgspec.convert(job["preprocessing"], Preprocessing)
    found = predict_preprocessing.found_in(facts, port)
    preprocessing = found.preprocessing if given is None else given
    wanted = pictures.wanted_by(port, resize=preprocessing.resize, channels=preprocessing.channels)
    told = {
        "preprocessing": msgspec.to_builtins(preprocessing),
        "source": found.source,
        "guessed": found.guessed,
        "meaning": None if facts is None else meaning_in_file(facts),
        "wanted": wanted._asdict(),
    }
    tell({"event": "model", **told})
    for position, name in enumerate(job["pictures"]):
        tell({"event": "picture", "position": position})
        try:
            outputs, done = _answer(session, Path(name), wanted, preprocessing, job["invert"])
            tell({"event": "answer", "position": position, "outputs": outputs, "done": done})
        except OptkitError as error:
            tell({"event": "unreadable", "position": position, "reason": " ".join(str(error).split())})


def _facts(path: Path) -> ModelFacts | None:
    """What the file says about itself; a Keras file that only Keras can read says nothing."""
    try:
        return readback.read(path)
    except InputError:
        if path.suffix.lower() in {".tflite", ".onnx"}:
            raise
        return None


def _answer(
    session: Session,
    picture: Path,
    wanted: pictures.Wanted,
    preprocessing: Preprocessing,
    invert: bool | None,  # noqa: FBT001  # three-valued: None lets the picture tell
) -> tuple[list[float], list[str]]:
    stretch = preprocessing.resize is not None
    raw, done = pictures.prepared(picture, wanted, stretch=stretch, invert=invert)
    real = data.to_real(raw[None], preprocessing)
    session.feed(session.to_native(real))
    session.invoke()
    return session.from_native(session.fetch())[0].astype(float).tolist(), done


def main() -> NoReturn:
    """Answer on what was standard output; what decoders and runtimes print goes to the log."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    try:
        run(json.load(sys.stdin), tell)
    except Exception as error:  # noqa: BLE001  # the reason belongs to the file, whatever it is
        words = str(error) if isinstance(error, OptkitError) else f"{type(error).__name__}: {error}"
        tell({"event": "failed", "reason": " ".join(words.split())})
    sys.stderr.flush()
    # As in ``one_answer``: some runtimes crash when the interpreter cleans up.
    os._exit(0)


if __name__ == "__main__":
    main()
