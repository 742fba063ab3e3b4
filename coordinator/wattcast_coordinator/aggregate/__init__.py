"""Forecasts of servers added up over the power graph, with their correlation."""
