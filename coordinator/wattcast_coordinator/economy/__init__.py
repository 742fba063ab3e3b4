"""Money: what power costs behind each meter, where and when it is cheapest to run. Pure.

Nothing here makes a room less safe: it answers with prices, and with moves that keep every limit.
"""
