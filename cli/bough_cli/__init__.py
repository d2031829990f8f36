"""The `bough` command: parses, calls one function of the other parts, prints.

Nothing heavy is imported at module level, so that ``bough --help`` answers at once: requests, rich, git, yaml, the
agent and the coordinator are imported by the functions that need them.
"""
