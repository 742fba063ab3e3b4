"""From signatures to forecasts: what training and edge compute with the same code. Pure numpy."""
