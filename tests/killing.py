"""A hook that dies in the middle of training, as a process does that is killed: nothing is saved on the way out."""


class Killed(BaseException):
    """The process dies here; nothing of the package may catch it."""


def killer(at):
    """A hook that dies at the n-th row."""
    left = [at]

    def hook(row):
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    return hook
