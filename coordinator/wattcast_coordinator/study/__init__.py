"""Studies of a room as it is, or as recorded: what if, and maintenance. Pure."""
