"""The model's steps: how long one is, how far the forecast looks back and ahead."""

STEP_S = 300.0
HORIZON = 12  # steps ahead
WINDOW = 32  # newest steps, of all channels
HOUR, DAY = 12, 288  # steps
DAYS = 7
HISTORY = DAYS * DAY + 1  # steps of power: the same time of day a week ago is still in it
