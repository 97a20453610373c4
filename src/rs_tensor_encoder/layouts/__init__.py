"""What datasets look like on disk: the language of layouts, and those of the package."""
