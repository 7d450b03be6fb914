"""Who waits for whom, and can it keep up?"""
