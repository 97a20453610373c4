"""Where patches are: the search, and the plan of all that was found."""
