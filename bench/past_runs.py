"""placeholder"""


def copy_past_runs(settings, count): ...
