"""Imported first by entry points: Ctrl-C while modules load ends them without a traceback.

`cli.program.main` answers signals from then on.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
