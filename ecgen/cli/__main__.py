"""What `python -m ecgen.cli` runs, and `accelerate launch -m ecgen.cli`"""
from ecgen.cli import main

if __name__ == '__main__': main()
