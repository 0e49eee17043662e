"""The inputs, a file each."""
