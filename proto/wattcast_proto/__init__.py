"""The contract between agents and coordinator: protobuf stubs and their domain twins."""
