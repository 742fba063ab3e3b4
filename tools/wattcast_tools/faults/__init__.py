"""Devices that misbehave on purpose: Modbus TCP servers and SNMP agents, one habit each."""
