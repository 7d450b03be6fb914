"""Where does the server come from?"""
