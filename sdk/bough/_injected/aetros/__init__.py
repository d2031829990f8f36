"""AETROS's package, as scripts import it; the code is in `bough.aetros`."""
