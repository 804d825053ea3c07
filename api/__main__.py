"""``python -m api`` serves by the settings of the environment; with ``settings`` it tells them."""

from __future__ import annotations

import os
import sys

from api.quick_imports import quick_imports


def main() -> None:
    """Serve, or tell the settings; exit with 2 on what is not understood, and say what that is."""
    arguments = sys.argv[1:]
    if arguments not in ([], ["settings"]):
        sys.stderr.write(
            f"Got {' '.join(arguments)}, but expected nothing or `settings`; what can be set are "
            "environment variables, which that lists.\n"
        )
        sys.exit(2)
    with quick_imports():
        from pydantic import ValidationError

        from api.server import serve
        from zeroskew.contract.settings import Settings
        from zeroskew.contract.settings_page import (
            describe_misspelt,
            describe_refusals,
            render_text,
        )
        from zeroskew.contract.time.utc_process import live_in_utc
        from zeroskew.online.schemes import open_store
    live_in_utc()
    refused = list(describe_misspelt(os.environ))
    try:
        settings = Settings()
    except ValidationError as error:
        refused += describe_refusals(error)
    if refused:
        for variable, sentence in refused:
            sys.stderr.write(f"{variable}: {sentence}\n" if variable else f"{sentence}\n")
        sys.exit(2)
    try:
        # It connects when it is first asked; here it only reads its address.
        open_store(settings.online_store)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    if arguments:
        sys.stdout.write(render_text(settings))
        return
    serve(settings)


if __name__ == "__main__":
    main()
