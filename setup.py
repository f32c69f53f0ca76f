"""Packaging: the metadata is read from settings.ini, which nbdev reads too."""
from configparser import ConfigParser
from pathlib import Path
from shutil import copyfile, rmtree

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
# the parts of data/ that belong in the wheel
SHIPPED = (
    'demo/**/*', 'sample/**/*', 'model/**/*', 'labels/**/*', 'results/**/*.json*', 'paper/*.json')

ini = ConfigParser(delimiters=['='])
ini.read(HERE/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']


def shipped(data):
    "The files of data/ that belong in the wheel"
    found = [f for pattern in SHIPPED for f in data.glob(pattern)]
    return [f for f in found if f.is_file()]


class BuildWithData(build_py):
    """Put data/ into the package as `_data`.

    An editable install reads the checkout's own data/ and needs no copy.
    """

    def run(self):
        super().run()
        if getattr(self, 'editable_mode', False): return
        data = HERE/'data'
        to = Path(self.build_lib)/cfg['lib_path']/'_data'
        rmtree(to, ignore_errors=True)  # of an earlier build
        for src in shipped(data):
            dst = to/src.relative_to(data)
            dst.parent.mkdir(parents=True, exist_ok=True)
            copyfile(src, dst)


def extras():
    """Each `NAME_requirements` of settings.ini as the extra NAME.

    `notebooks` is what the notebooks need, `dev` is all of them.
    """
    keys = [k for k in cfg if k.endswith('_requirements')]
    named = {k.removesuffix('_requirements'): cfg[k].split() for k in keys}

    def union(names): return list(dict.fromkeys(r for n in names for r in named[n]))
    of_notebooks = [n for n in named if n not in ('dev', 'docs', 'demo')]
    return named | {'notebooks': union(of_notebooks), 'dev': union(named)}


def long_description():
    readme = HERE/'README.md'
    return readme.read_text(encoding='utf-8') if readme.exists() else cfg['description']


placeholder = '.invalid' in cfg['git_url']
setup(
    name=cfg['pip_name'],
    version=cfg['version'],
    description=cfg['description'],
    keywords=cfg['keywords'].split(),
    author=cfg['author'],
    author_email=cfg['author_email'] or None,
    license='Apache-2.0 AND CC-BY-NC-4.0',  # the code, and the weights in data/model
    url=None if placeholder else cfg['git_url'],
    long_description=long_description(),
    long_description_content_type='text/markdown',
    packages=find_packages(
        include=[cfg['lib_name'], cfg['lib_name'] + '.*'],
        exclude=['*.tests', '*.tests.*']),
    package_data={cfg['lib_name']: ['*.js', '*.css']},
    cmdclass={'build_py': BuildWithData},
    zip_safe=False,
    python_requires='>=' + cfg['min_python'],
    install_requires=cfg['requirements'].split(),
    extras_require=extras(),
    entry_points={
        'console_scripts': cfg['console_scripts'].split(),
        # nbdev finds our symbols for links in prose here
        'nbdev': [f"{cfg['lib_name']}={cfg['lib_path']}._modidx:d"]},
)
