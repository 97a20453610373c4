"""The database and its sidecar files on the disk."""
