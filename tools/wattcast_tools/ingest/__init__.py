"""The parts of ``wattcast bench ingest``: a coordinator's ingest process, agents, peers."""
