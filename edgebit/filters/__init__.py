"""The filters: pure but for their own state."""
