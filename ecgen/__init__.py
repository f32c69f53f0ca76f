__version__ = "0.1.0"
from ._project import refuse_others

refuse_others()

# what most programs want -> the module that has it, imported when it is first asked for: `import ecgen` itself is quick
PUBLIC = dict(
    Dialogue='data.dialogues', load_split='data.readers', EmpatheticModel='model.model', train='training.runs',
    evaluate='evaluation.evaluation', CauseHighlight='use.widgets', AttentionExplorer='use.widgets')
__all__ = [*PUBLIC]


def __getattr__(name):
    if name not in PUBLIC: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    return getattr(import_module(f'{__name__}.{PUBLIC[name]}'), name)


def __dir__(): return sorted({*globals(), *PUBLIC})
