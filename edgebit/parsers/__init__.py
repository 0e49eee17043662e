"""The parsers: pure, lines to records."""
