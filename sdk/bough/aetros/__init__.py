"""AETROS scripts of any era as bough jobs: what ``import aetros.backend`` gives inside a job.

The package ``aetros`` itself is a few lines in ``bough/_injected``, a folder that agents put at the end of a job's
PYTHONPATH and that is no top-level package anywhere; an ``aetros`` that the repository or the job's own PYTHONPATH
brings comes first. By hand: ``python -m bough.aetros train.py``.

Promises: nothing is patched at import, no network, no keys; what a script reports wrongly is one line in the log, and
the training goes on; ``done()`` returns, as it did before 0.10; KPI values are never made up.
"""
