"""Configuration of the commands: plain frozen dataclasses (`schema`), composed by Hydra (`compose`).

Nothing here is imported by `import simgym`; only `compose` needs Hydra, and only when a command runs.
"""
