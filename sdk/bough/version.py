"""The version of bough: one number for SDK, agent, coordinator and command line."""

__version__ = "0.1.0"
