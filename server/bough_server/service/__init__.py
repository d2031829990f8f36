"""What the coordinator does: each module one concern, given the store, the time and the ids as arguments."""
