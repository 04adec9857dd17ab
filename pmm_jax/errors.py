"""The one exception that means "the user can mend this"."""


class UserError(Exception):
    """A wrong input: missing data, a misspelt field, sizes that don't divide.

    The message is one line that names what is wrong and how to mend it. Entry points print it on
    standard error and exit with code 2, without a traceback; every other exception is a bug.
    """
