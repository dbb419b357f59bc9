from entrax.exact.solution import Solution


def solve_average(*a) -> Solution:
    raise NotImplementedError
