"""Where does each box and line stand?"""
