"""Goggles translate camera frames of the real world into the simulator's style."""

if __name__ != "simgym.goggles":  # reached through the link at the root of the repository, a map for readers
    raise ImportError("this is no package of its own: use `import simgym.goggles`")
