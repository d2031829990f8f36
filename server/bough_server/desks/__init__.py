"""What can be asked of a coordinator, by subject, with nothing of HTTP in it: one desk each for agents,
optimizations, searches, jobs and exports. All of them stand on one `ground`."""
