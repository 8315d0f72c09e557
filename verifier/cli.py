"""The entry point of `keyroll-verifier`.

Exit code 1 means misbehaviour and nothing else. Python ends with 1 for any error that nobody
caught, a missing library included, so all is imported and run inside one net that ends with 2.
"""

from __future__ import annotations

import signal
import sys
import traceback

UNDECIDED = 2


def main() -> None:
    """Runs the command line; never returns."""
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        code = _run()
    except KeyboardInterrupt:
        code = UNDECIDED
    except Exception:  # noqa: BLE001  # whatever it is, it is not misbehaviour of the log
        traceback.print_exc()
        code = UNDECIDED
    sys.exit(code)


def _run() -> int:
    import click

    from verifier.commands import commands
    from verifier.errors import AuditError

    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return UNDECIDED
    except click.Abort:
        return UNDECIDED
    except AuditError as error:
        click.echo(f"Error: {error}", err=True)
        return UNDECIDED
    sys.stdout.flush()
    return int(code or 0)


if __name__ == "__main__":
    main()
