"""`python -m deploy.local VERB`."""

from __future__ import annotations

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing has started yet: an early Ctrl-C just ends this

from deploy.local.cli import main  # noqa: E402 - its imports take a second

if __name__ == "__main__":
    sys.exit(main())
