"""What is a picture made of, and how does it become SVG or a figure?"""
