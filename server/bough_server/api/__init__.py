"""HTTP: each route reads a request, calls one thing of the coordinator, and writes the answer."""
