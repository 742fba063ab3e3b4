"""What price and carbon are worth: a room with two meters on recorded hours."""
