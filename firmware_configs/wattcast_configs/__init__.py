"""What differs from site to site and device to device, and its strict loader."""
