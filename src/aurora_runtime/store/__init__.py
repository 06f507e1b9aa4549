"""Published model versions on a folder or a shared volume."""
