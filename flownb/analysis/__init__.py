"""What can be known about a workflow before it runs? Pure functions of the model."""
