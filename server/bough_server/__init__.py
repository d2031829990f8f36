"""The coordinator: it keeps the search spaces, the optimizers' history and every result, and hands out trials."""
