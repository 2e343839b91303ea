"""``optkit``: the commands, loaded only when they are asked for, and the exit codes."""

from __future__ import annotations

import importlib
import io
import signal
import sys
from typing import Any, NoReturn

import click

from optkit.errors import EnvironmentFailedError, InputError, InternalError, OptkitError, nearest, without_control

COMMANDS = {
    "compress": "Compress a model in every standard way, prove and measure each file, recommend one.",
    "train": "Train the network that is compressed afterwards, with every knob, and diagnose how it went.",
    "tune": "Search the knobs of training; train the best settings on all but the test part.",
    "compare": "Hold two reports side by side; fail a build when a condition is broken.",
    "report": "Draw the pages of a run again from its report.json, and print the table.",
    "benchmark": "Measure model files that are there already, side by side, with the doubt beside every figure.",
    "inspect": "Take a model file apart: operators, weights, quantization, where the bytes are.",
    "predict": "Ask a model file about pictures: class and probability.",
    "diff": "Find the images that two model files answer differently, and the first layer where they part.",
    "slim": "Make a smaller copy of a finished .tflite or .onnx file, proven to answer the same bit for bit.",
    "bundle": "Pack a model for a device: Linux, microcontroller, …, with a self-test that runs there.",
    "compile": "Turn a quantized .tflite file into plain C99, bit-exact, for the smallest microcontrollers.",
    "list": "Show every technique, exporter, runtime, target, operator of plain C, baseline, data set and engine.",
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is used, so that ``--help`` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        if name not in COMMANDS:
            ctx.fail(f"unknown command {name!r}: {nearest(name, list(COMMANDS))}")
        command: click.Command = importlib.import_module(f"optkit.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, _: click.Parameter, value: Any) -> None:  # click's signature
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"optkit {version('optkit')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 a compare condition is broken; 2 bad input, nothing done; 3 no file is within all "
    "limits, the nearest is delivered; 4 some files failed, the others are there (slim: the copy answers otherwise); "
    "5 the environment failed midway; 70 internal error, the log is named; 130 and 143 interrupted.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version.",
)
def cli() -> None:
    """Make small, fast model files from Keras models, prove each right, measure it, and say which to ship."""


def _after_interrupt() -> str:
    """What the command that ran says of its work, where it does not keep it."""
    name = next((word for word in sys.argv[1:] if word in COMMANDS), "")
    module = sys.modules.get(f"optkit.cli.{name}")
    return getattr(module, "AFTER_INTERRUPT", "finished work is kept, the same command continues.")


class _TerminatedError(BaseException):
    """SIGTERM; not an ``Exception``, so that nothing on the way takes it for a failure of its own."""


def _terminate(*_: object) -> NoReturn:
    raise _TerminatedError


def _in_one_line(error: click.ClickException) -> str:
    """What click found wrong with the command line, and where its help is; click itself says it in three lines."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    return message if context is None else f"{message}; see {context.command_path} --help"


def _line(error: Exception) -> str:
    """An error's message on one line: names of files may have line breaks, and some libraries' reasons have."""
    return without_control(" ".join(str(error).splitlines()))


def _check_words() -> None:
    """Refuse words that are no text: they could not be written into a report.

    Raises:
        InputError: A word or the current folder is not in the encoding of the system.
    """
    import os

    try:
        words = [os.getcwd(), *sys.argv[1:]]  # noqa: PTH109  # Path costs more than all of this
    except OSError as error:
        raise InputError(f"expected to be run in a folder, found none: {error.strerror}; go to another one") from error
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"expected names in {sys.getfilesystemencoding()}, found {ascii(word)[:200]}; rename the file or folder"
            ) from None


def _show_what_can_be_shown() -> None:
    """Where the terminal's encoding lacks a sign, ? takes its place."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _point_at_log(error: Exception) -> None:
    """Name the log that has the traceback, where a run had one open."""
    for note in getattr(error, "__notes__", []):
        click.echo(note, err=True)


def main() -> NoReturn:
    """Entry point: run a command and turn errors into one line and an exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    _show_what_can_be_shown()
    try:
        _check_words()
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        click.echo(f"Error: {without_control(_in_one_line(error))}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"Interrupted: {_after_interrupt()}", err=True)
        sys.exit(130)
    except _TerminatedError:
        click.echo(f"Terminated: {_after_interrupt()}", err=True)
        sys.exit(143)
    except OptkitError as error:
        click.echo(f"Error: {_line(error)}", err=True)
        if error.exit_code == InternalError.exit_code:
            _point_at_log(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        click.echo(f"Error: the system refused: {_line(error)}", err=True)
        _point_at_log(error)
        sys.exit(EnvironmentFailedError.exit_code)
    except Exception as error:  # noqa: BLE001  # the last resort: one line, not a traceback
        click.echo(f"Internal error: {type(error).__name__}: {_line(error)}", err=True)
        _point_at_log(error)
        sys.exit(InternalError.exit_code)


if __name__ == "__main__":
    main()
