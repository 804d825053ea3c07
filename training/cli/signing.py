"""The commands around signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["add_signing_commands"]


def add_signing_commands(app: typer.Typer) -> None:
    """Add ``keygen`` to the command line."""

    @app.command(rich_help_panel="Serving")
    def keygen(
        path: Annotated[Path, typer.Argument(help="The new file of the private key.")],
    ) -> None:
        """Make a key that signs what is published, and print its public half.

        `publish` signs with the file that ZEROSKEW_SIGNING_KEY_FILE names. A service with the
        public half in ZEROSKEW_TRUSTED_KEYS refuses every version that is not signed by it.
        """
        from training.publish.signing import make_signing_key

        typer.echo(make_signing_key(path))
