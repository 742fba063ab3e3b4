"""Coordination in etcd: leader election, registry of agents, intents, the core's state."""
