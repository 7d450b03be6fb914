"""What does `python -m flownb` do? The same as `flownb`."""

from flownb.cli import main

if __name__ == "__main__":
    main(prog_name="flownb")
