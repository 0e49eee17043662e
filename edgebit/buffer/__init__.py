"""Where records wait."""
