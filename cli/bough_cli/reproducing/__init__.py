"""`bough job reproduce`: a record run again, on any machine that holds it, and compared with what it says.

::

    instructions   what to run, from the record alone
    rerun          runs it, under the same supervisor that agents use
    reported       reads what the run reported, and reduces it to its KPI
    environments   compares this machine's packages with the recorded ones; rebuilds these
    verdict        says what is equal and what differs
"""
