"""The `keyturn` command line.

Every error is one sentence and one hint on stderr. The exit code is 1, or 2 for wrong usage.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from keyturn.cli.commands import admins, check, client, deny, device, group, inbox, leak, lifecycle, login, rotation
from keyturn.cli.output import print_error
from keyturn.cli.session import Ports, Session, default_home
from keyturn.cli.streams import OutputError, standard_streams
from keyturn.cli.usage_errors import hint_of, id_hint, is_usage_error, sentence_of, system_error
from keyturn.device.core.errors import DeviceError
from keyturn.device.home.errors import HomeError
from keyturn.domain.errors import Refusal

DEFAULT_URL = "http://127.0.0.1:8787"
_LOCAL_COMMANDS = "keyturn.local.commands"
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class RootCommand(TyperGroup):
    """The root command: it prints errors instead of tracebacks, and help in paragraphs."""

    def __init__(self, *args: Any, **extra: Any) -> None:  # noqa: ANN401 - the framework's own signature
        super().__init__(*args, **extra)
        _join_help_lines(self)

    def make_context(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - the framework's own signature
        """Read the global options."""
        # The framework parses the global options before `invoke`, so their errors appear here.
        with _reported_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the framework's own signature
        """Run the command."""
        with _reported_errors(ctx):
            return super().invoke(ctx)


def _join_help_lines(command: Any) -> None:  # noqa: ANN401 - the framework's own object
    """Make one line of each paragraph of help, for the command and all commands below it."""
    # The framework keeps the line breaks of a docstring, so a narrower terminal would break its lines twice.
    command.help = "\n\n".join(" ".join(text.split()) for text in (command.help or "").split("\n\n"))
    for below in getattr(command, "commands", {}).values():
        _join_help_lines(below)


@contextmanager
def _reported_errors(context: Any = None) -> Iterator[None]:  # noqa: ANN401 - the framework's own object
    try:
        yield
    except (DeviceError, HomeError) as error:
        print_error(str(error), error.hint)
        code = error.exit_code if isinstance(error, DeviceError) else 1
    except Refusal as refusal:  # an invalid id or value, found before anything was sent
        print_error(refusal.sentence, id_hint(refusal))
        code = 2
    except KeyboardInterrupt:
        typer.echo(err=True)  # the terminal shows ^C at the cursor: the shell prompt starts on a new line
        code = _INTERRUPTED
    except OSError as error:
        # What a command expects of its files, it reports itself. This is the rest, such as a disk that fills up.
        print_error(*system_error(error))
        code = 1
    except Exception as error:
        # Only the framework's own usage errors are reworded: a fault of the program keeps its traceback.
        if not is_usage_error(error):
            raise
        print_error(sentence_of(error), hint_of(error, getattr(context, "invoked_subcommand", None)))
        code = 2
    else:
        return
    raise typer.Exit(code)


def _print_version(enabled: bool) -> None:  # noqa: FBT001 - the framework's own signature
    if enabled:
        typer.echo(f"keyturn {version('keyturn')}")
        raise typer.Exit


app = typer.Typer(
    name="keyturn",
    cls=RootCommand,
    no_args_is_help=True,
    add_completion=False,  # it would edit the shell's start-up files
    pretty_exceptions_enable=False,  # they print local variables, and those may be secrets
    help="Rotate static API credentials without downtime.",
)


@app.callback()
def main_options(
    context: typer.Context,
    *,
    url: Annotated[str, typer.Option(envvar="KEYTURN_URL", help="Base URL of the server.")] = DEFAULT_URL,
    home: Annotated[Path | None, typer.Option(envvar="KEYTURN_HOME", help="Folder of this device.")] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the device's passphrase, readable by its owner only. Also KEYTURN_PASSPHRASE_FILE."
        ),
    ] = None,
    version_only: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Rotate static API credentials without downtime."""
    del version_only  # its callback has ended the run
    ports = context.obj if isinstance(context.obj, Ports) else Ports()
    folder = home or default_home(ports.environment)
    context.obj = Session(url=url.rstrip("/"), home=folder, passphrase_file=passphrase_file, ports=ports)


app.add_typer(client.app, name="client")
app.add_typer(group.app, name="group")
app.add_typer(device.app, name="device")
app.add_typer(admins.app, name="admin")
app.command("login")(login.login)
app.command("rotate")(rotation.rotate)
app.add_typer(rotation.app, name="rotation")
app.command("inbox")(inbox.inbox)
app.command("ack")(rotation.ack)
lifecycle.register(app)
app.command("check")(check.check)
app.command("sweep")(check.sweep)
app.command("leak")(leak.leak)
deny.register(app)


def main() -> None:
    """Run `keyturn`, with the commands of one machine (`up`, `demo`, `doctor`) where they are installed."""
    register_local(app)
    run(sys.argv[1:])


def run(arguments: list[str], ports: Ports | None = None) -> None:
    """Run a command line, and end the process with its exit code. `ports` replaces everything outside the process."""
    try:
        with standard_streams():
            app(arguments, prog_name="keyturn", obj=ports)
    except OutputError as error:  # the last output, which is written when the command is over
        print_error(str(error), error.hint)
        sys.exit(error.exit_code)


def register_local(root: typer.Typer) -> None:
    """Add the commands of the `local` package, if it is installed: a device works without it."""
    try:
        commands = import_module(_LOCAL_COMMANDS)
    except ModuleNotFoundError as missing:
        if missing.name not in {_LOCAL_COMMANDS.rpartition(".")[0], _LOCAL_COMMANDS}:
            raise
        return
    commands.register(root)
