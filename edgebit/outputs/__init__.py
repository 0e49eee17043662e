"""The outputs, a file each."""
