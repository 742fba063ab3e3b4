"""SQLite store and forward, and the safety state, in one file."""
