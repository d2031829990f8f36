"""Records as people use them: listed, read, compared, taken out and run again from any clone that holds their refs.

Nothing in here asks a coordinator, and nothing needs more than git and the base installation. What a record is made of
is in docs/records.md.

::

    clones      which repository is meant, and whether it may be read
    objects     many objects of a repository by one process of git
    refs        what the name of a record's ref says
    index       every record of a clone as a row, kept beside its refs
    record      one record: its files, its facts
    handed_in   contents of the files that a job handed in, also of those that are too large for git
"""
