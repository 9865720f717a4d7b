"""The console script: one file a task. JAX is imported only by the commands that compute."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

import irrl
from irrl.errors import UserError

app = App(
    name="irrl",
    version=irrl.__version__,
    help="Internally rewarded reinforcement learning: a policy paid by a discriminator trained on its own behaviour.",
)
app.command("irrl.cli.digits:app", name="digits", help="Hard visual attention on Cluttered MNIST.")
app.command("irrl.cli.skills:app", name="skills", help="Unsupervised skill discovery in four rooms.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; what the user got wrong is one line on stderr and exit status 2."""
    try:
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except KeyboardInterrupt:
        status = 130
    except (UserError, CycloptsError, OSError, MemoryError) as error:
        message = str(error) or "not enough memory: make --batch, --train-size or --canvas smaller"
        print("irrl: " + " ".join(message.split()), file=sys.stderr)
        status = 2
    sys.exit(status or 0)
