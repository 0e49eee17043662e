"""Config files to typed sections."""
