"""The store: tables, migrations, one writer, many readers, and the encoding of points."""
