"""The simulated room: an independent process that Wattcast sees by Modbus TCP and HTTP only."""
