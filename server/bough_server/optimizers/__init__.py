"""Optimizers: what to try next, from the space and the trials that ended.

An optimizer sees values and numbers, never the store. `client` is what the coordinator uses; it imports nothing heavy,
for hyperopt lives in a worker process of its own (`worker`). A new algorithm is one file and one line in `registry`.
"""
