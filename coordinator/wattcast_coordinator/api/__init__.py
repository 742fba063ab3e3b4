"""The coordinator's faces: gRPC for agents, REST and a live page for people."""
