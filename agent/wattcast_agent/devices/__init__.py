"""What the agent reads and commands: one module a protocol, profiles are data."""
