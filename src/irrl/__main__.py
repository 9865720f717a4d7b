"""`python -m irrl` is `irrl`."""

from irrl.cli import main

main()
