"""What do all rooms of the engine share?"""
