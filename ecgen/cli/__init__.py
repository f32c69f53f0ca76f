"""The `ecgen` command

The modules are imported in the order in which `ecgen --help` lists their commands. They stay quick to import: PyTorch and
whatever needs it are imported inside the functions that compute.
"""
from ecgen.cli.app import *
from ecgen.cli.talk import *
from ecgen.cli.data import *
from ecgen.cli.train import *
from ecgen.cli.measure import *
from ecgen.cli.study import *
from ecgen.cli.info import *
