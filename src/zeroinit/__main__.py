"""``python -m zeroinit``: the command line."""

from zeroinit.cli import main

if __name__ == "__main__":
    main()
