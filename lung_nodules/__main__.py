"""`python -m lung_nodules`: the same as `lung-nodules`."""

from lung_nodules.cli import main

if __name__ == "__main__":
    main()
