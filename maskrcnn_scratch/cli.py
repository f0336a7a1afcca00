"""The one command, ``maskrcnn-scratch``.

Commands stand in ``maskrcnn_scratch.commands``, by what they are for. What they need is
imported when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys

import typer

from maskrcnn_scratch.commands import course, data, misalignment, weights
from maskrcnn_scratch.commands.ablation import ablation
from maskrcnn_scratch.commands.anatomy import anatomy
from maskrcnn_scratch.commands.bench import bench
from maskrcnn_scratch.commands.claims import claims
from maskrcnn_scratch.commands.cost import cost
from maskrcnn_scratch.commands.demo import demo
from maskrcnn_scratch.commands.doctor import doctor
from maskrcnn_scratch.commands.exercises import check, exercise
from maskrcnn_scratch.commands.proposals import proposals
from maskrcnn_scratch.commands.runs import evaluate, predict, train

app = typer.Typer(
    help="Mask R-CNN from scratch: learn it, verify it, train it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(rich_help_panel="Train and use")(demo)
app.command(rich_help_panel="Train and use")(train)
app.command(rich_help_panel="Train and use")(evaluate)
app.command(rich_help_panel="Train and use")(predict)
app.command(rich_help_panel="Train and use")(proposals)
app.add_typer(data.app, name="data", rich_help_panel="Train and use")
app.add_typer(weights.app, name="weights", rich_help_panel="Train and use")
app.add_typer(course.app, name="course", rich_help_panel="Teach and learn")
app.command(rich_help_panel="Look inside")(anatomy)
app.command(rich_help_panel="Look inside")(cost)
app.add_typer(misalignment.app, name="misalignment", rich_help_panel="Look inside")
app.command(rich_help_panel="Look inside")(ablation)
app.command(rich_help_panel="Look inside")(claims)
app.command(rich_help_panel="Teach and learn")(exercise)
app.command(rich_help_panel="Teach and learn")(check)
app.command(rich_help_panel="This machine")(doctor)
app.command(rich_help_panel="This machine")(bench)


def main(arguments: list[str] | None = None) -> int:
    """Run the command that ``arguments`` name (those of the shell, if None).

    Returns the exit status. What the user can put right becomes one line; anything else
    is a bug in this package and keeps its traceback.
    """
    try:
        return app(arguments, standalone_mode=False) or 0
    except typer.TyperException as error:
        complain(error.format_message())
        return error.exit_code
    except (ValueError, OSError) as error:
        if not is_for_the_user(error):
            raise
        complain(explanation(error))
        return 1


def complain(message: str) -> None:
    """One line, whatever the message holds."""
    if message:  # a bare maskrcnn-scratch has printed its help, and that says all
        print("error:", " ".join(message.split()), file=sys.stderr)


def is_for_the_user(error: ValueError | OSError) -> bool:
    """Whether the error is about the input rather than about this package.

    Files are the user's. A ValueError is, where this package raised it itself, having
    looked at what it was given; one from inside a library means a wrong call: a bug.
    """
    if isinstance(error, OSError):
        return True
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    module = "" if last is None else last.tb_frame.f_globals.get("__name__", "")
    return module.startswith(f"{__package__}.")


def explanation(error: ValueError | OSError) -> str:
    """``[Errno 2] No such file or directory: 'x'`` in plainer words."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
