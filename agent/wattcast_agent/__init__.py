"""The rack edge box."""
