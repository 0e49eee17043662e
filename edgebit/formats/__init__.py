"""The formats: chunks to bytes, shared by every output."""
