"""Prints the bytes of the arena that tflite-micro's interpreter allocates for a .tflite file; its input is zeros."""

import contextlib
import io
import os
import re
import sys
import tempfile

import numpy as np
from tflite_micro import runtime

interpreter = runtime.Interpreter.from_file(sys.argv[1])
details = interpreter.get_input_details(0)
interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
interpreter.invoke()
# It tells by its own log only, which goes to the process's standard error.
with tempfile.TemporaryFile() as held:
    saved = os.dup(2)
    os.dup2(held.fileno(), 2)
    with contextlib.redirect_stdout(io.StringIO()):
        interpreter.print_allocations()
    os.dup2(saved, 2)
    held.seek(0)
    text = held.read().decode()
found = re.search(r"Arena allocation total (\d+) bytes", text)
print(found.group(1) if found else text)
