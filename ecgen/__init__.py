__version__ = "0.1.0"
from ._project import refuse_others

refuse_others()
