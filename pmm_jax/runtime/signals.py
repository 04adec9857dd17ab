"""The signals that end a command."""

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt_on_signals() -> None:
    """Have SIGINT, SIGTERM and a lost terminal end the program the same way, cleaning up."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a shell's background job
            signal.signal(number, interrupt)
