"""`python -m dbprompt` is the same as `dbprompt`."""

from dbprompt.cli import main

if __name__ == "__main__":
    main()
