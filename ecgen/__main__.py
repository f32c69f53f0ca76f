"""What `python -m ecgen` runs"""
from ecgen.cli import main

if __name__ == '__main__': main()
