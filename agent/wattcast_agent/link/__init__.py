"""The gRPC stream to the coordinator."""
