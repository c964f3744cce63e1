"""Policies: networks, training, evaluation, metrics and export."""

if __name__ != "simgym.policies":  # reached through the link at the root of the repository, a map for readers
    raise ImportError("this is no package of its own: use `import simgym.policies`")
