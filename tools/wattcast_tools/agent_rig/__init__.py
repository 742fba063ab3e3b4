"""What ``wattcast bench agent`` puts around one agent: devices, servers, a coordinator's ear."""
