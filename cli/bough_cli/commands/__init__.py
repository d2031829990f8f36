"""One module per command; `bough_cli.main` names them and imports only the one that runs."""
