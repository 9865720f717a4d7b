"""The console script: one file a task. JAX is imported only by the commands that compute."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

import irrl
from irrl.cli.surroundings import settle
from irrl.errors import UserError

app = App(
    name="irrl",
    version=irrl.__version__,
    help="Internally rewarded reinforcement learning: a policy paid by a discriminator trained on its own behaviour.",
)
app.command("irrl.cli.digits:app", name="digits", help="Hard visual attention on Cluttered MNIST.")
app.command("irrl.cli.skills:app", name="skills", help="Unsupervised skill discovery in four rooms.")
app.command("irrl.cli.counting:app", name="counting", help="A robot that walks round a table to count cubes.")

OUT_OF_MEMORY = "not enough memory: make --batch, --train-size or --canvas smaller"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; what the user got wrong is one line on stderr and exit status 2."""
    settle()
    try:
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except KeyboardInterrupt:
        status = 130
    except (UserError, CycloptsError, OSError, MemoryError) as error:
        message = str(error) or OUT_OF_MEMORY
        print("irrl: " + " ".join(message.split()), file=sys.stderr)
        status = 2
    except RuntimeError as error:  # JAX's own out-of-memory error is one
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(f"irrl: {OUT_OF_MEMORY}", file=sys.stderr)
        status = 2
    sys.exit(status or 0)
