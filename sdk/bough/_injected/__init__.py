"""A folder for the end of a job's PYTHONPATH: what lies in it are top-level packages there, and only there."""
