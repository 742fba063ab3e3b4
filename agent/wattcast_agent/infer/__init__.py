"""Running a trained model on the edge box."""
