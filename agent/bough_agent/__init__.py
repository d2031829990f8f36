"""The agent: the daemon on a machine that runs jobs, and the small processes that watch over them."""
