"""Where `irrl` starts: the console script, or `python -m irrl`."""

import signal


def main() -> None:
    """Run the command line of this process."""
    # Ctrl-C ends the process at once. As an exception in the middle of an import, or of JAX's garbage collection, it
    # can be lost, or crash. A training takes it over (`Run.interruptible`).
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from irrl.cli import main as run

    run()


if __name__ == "__main__":
    main()
