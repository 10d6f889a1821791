"""``python -m infra.kafka``: a broker until it is interrupted."""

from __future__ import annotations

import signal
import sys

from infra.kafka.broker import main

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    sys.exit(main())
