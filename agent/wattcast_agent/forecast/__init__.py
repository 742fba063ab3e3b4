"""Forecasts of a rack: windows, calibration and choice of forecaster a server. Pure."""
