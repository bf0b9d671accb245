"""`keyturn`: the admin's command line. Every error is one line and a hint on stderr; exit code 1, 2 for wrong usage."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from admin.commands import check, client, device, group, inbox, lifecycle, rotation
from admin.errors import DeviceError
from admin.home_errors import HomeError
from admin.output import print_error
from admin.session import Ports, Session, default_home
from shared.domain.errors import Refusal

DEFAULT_URL = "http://127.0.0.1:8787"
_LOCAL_COMMANDS = "local.commands"
_ID_HINT = "Ids have letters, digits and . _ ~ -, at most 128 characters; see --help."


class CalmGroup(TyperGroup):
    """The root command: what goes wrong below it is told, not thrown."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the framework's own signature
        """Run the command; the errors that have a sentence for people end here."""
        try:
            return super().invoke(ctx)
        except (DeviceError, HomeError) as error:
            print_error(str(error), error.hint)
            code = error.exit_code if isinstance(error, DeviceError) else 1
        except Refusal as refusal:  # an id or a value that can't be, seen before anything was sent
            print_error(refusal.sentence, _ID_HINT)
            code = 2
        raise typer.Exit(code)


app = typer.Typer(
    name="keyturn",
    cls=CalmGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, and those may be secrets
    help="Turns static API credentials over without downtime.",
)


@app.callback()
def main_options(
    context: typer.Context,
    *,
    url: Annotated[str, typer.Option(envvar="KEYTURN_URL", help="The server's address.")] = DEFAULT_URL,
    home: Annotated[Path | None, typer.Option(envvar="KEYTURN_HOME", help="The device's folder.")] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(help="A private file with the device's passphrase; also KEYTURN_PASSPHRASE_FILE."),
    ] = None,
) -> None:
    """Turn static API credentials over without downtime."""
    ports = context.obj if isinstance(context.obj, Ports) else Ports()
    folder = home or default_home(ports.environment)
    context.obj = Session(url=url.rstrip("/"), home=folder, passphrase_file=passphrase_file, ports=ports)


app.add_typer(client.app, name="client")
app.add_typer(group.app, name="group")
app.add_typer(device.app, name="device")
app.command("rotate")(rotation.rotate)
app.add_typer(rotation.app, name="rotation")
app.command("inbox")(inbox.inbox)
app.command("ack")(rotation.ack)
lifecycle.register(app)
app.command("check")(check.check)
app.command("sweep")(check.sweep)


def main() -> None:
    """Run `keyturn`, with the commands of one machine (`up`, `demo`, `doctor`) where they are installed."""
    register_local(app)
    app(prog_name="keyturn")


def register_local(root: typer.Typer) -> None:
    """Add the commands of `local`, if that room is there: a device needs none of it."""
    try:
        commands = import_module(_LOCAL_COMMANDS)
    except ModuleNotFoundError as missing:
        if missing.name not in {"local", _LOCAL_COMMANDS}:
            raise
        return
    commands.register(root)
