"""What agent and coordinator share: domain types and pure computations. No I/O, no clock."""
