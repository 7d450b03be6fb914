"""How does flownb look in a notebook, without a front end of its own?"""
