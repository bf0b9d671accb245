"""Arguments and options that several commands share."""

from datetime import timedelta
from typing import Annotated

import typer

from keyturn.cli.durations import parse_duration

ClientId = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="The client.")]
GroupId = Annotated[str, typer.Argument(metavar="GROUP", help="The admin group.")]
RotationId = Annotated[str, typer.Argument(metavar="ROTATION_ID", help="The rotation.")]
Reason = Annotated[str, typer.Option(help="Why: it is kept in the audit chain.", metavar="TEXT")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Grace = Annotated[
    timedelta | None,
    typer.Option(parser=parse_duration, metavar="7d", help="How long the version left goes on working."),
]
