"""What would it do, exactly, in virtual time?"""
