"""Training of the forecasting LSTM, away from the edge (extra ``train``).

recordings -> dataset -> network -> score -> export -> manifest; ``base`` runs them in that order.
"""
