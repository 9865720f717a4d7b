"""The one exception a user can cause."""


class UserError(ValueError):
    """Something the user asked for cannot be done.

    The message is one line: what is wrong, where, and what would be right. The command line prints it and exits
    with status 2; a library caller catches it like any `ValueError`.
    """
