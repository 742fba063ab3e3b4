"""The direct line between the two agents of a rack."""
