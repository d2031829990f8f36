"""Git: what keeps the code of every model, and what an ended job becomes."""
