"""Simulated environments: tasks, scenes, draws, engines, renderers and looks."""

if __name__ != "simgym.envs":  # reached through the link at the root of the repository, a map for readers
    raise ImportError("this is no package of its own: use `import simgym.envs`")
