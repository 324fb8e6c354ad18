"""`python -m worker` is `offhook`."""

from worker.cli import main

if __name__ == "__main__":
    main()
