"""Check the built site: `python tools/links.py [FOLDER]`, after `python tools/nb.py docs`.

Every link and anchor within it must resolve, no page may fetch anything from elsewhere, and none
may exceed 2 MB. Fails with a list.
"""
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

ROOT = Path(__file__).resolve().parent.parent
MOST = 2_000_000                                        # bytes of a page
FETCHED = {
    'img': 'src', 'script': 'src', 'iframe': 'src', 'link': 'href', 'source': 'src',
    'video': 'src', 'object': 'data'}
NO_PAGE = ('mailto', 'data', 'javascript')              # schemes of links that lead to no page


class Page(HTMLParser):
    "Anchors, links, and what a page fetches"
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.fetched = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given[k] for k in ('id', 'name') if given.get(k)}
        if tag == 'a' and given.get('href'): self.links.append(given['href'])
        fetched = given.get(FETCHED.get(tag))
        names_only = given.get('rel') in ('canonical', 'author')
        if fetched and not names_only: self.fetched.append(fetched)


def outside(url): return urlsplit(url).scheme in ('http', 'https') or url.startswith('//')


def to_file(url, path):
    "The file of the site to which a link on the page `path` leads"
    address = urldefrag(url).url
    if not address: return path
    file = (path.parent/unquote(urlsplit(address).path)).resolve()
    return file/'index.html' if file.is_dir() else file


def lacking(url, path, pages):
    "What a link within the site misses, or None"
    file, anchor = to_file(url, path), urldefrag(url).fragment
    if not file.is_file(): return 'which is not there'
    if not anchor or file.suffix != '.html': return None
    if unquote(anchor) in pages[file].ids or anchor == 'top': return None
    return 'whose anchor is not there'


def problems_of_page(name, path, pages):
    "One sentence for everything that is wrong with a page"
    page, size = pages[path], path.stat().st_size
    if size > MOST: yield f'{name} has {size / 1e6:.1f} MB'
    for url in page.fetched:
        if outside(url): yield f'{name} fetches {url}'
    for url in page.links + page.fetched:
        if outside(url) or urlsplit(url).scheme in NO_PAGE: continue
        why = lacking(url, path, pages)
        if why: yield f'{name} links to {url}, {why}'


def fetched_by_sheet(sheet):
    "Addresses elsewhere from which a style sheet fetches something"
    return re.findall(r'url\(["\']?((?:https?:)?//[^)"\']+)', sheet.read_text(encoding='utf-8'))


def problems(root):
    "One sentence for everything that is wrong"
    pages = {p: Page(p.read_text(encoding='utf-8')) for p in sorted(root.rglob('*.html'))}
    for path in pages: yield from problems_of_page(path.relative_to(root).as_posix(), path, pages)
    for sheet in root.rglob('*.css'):
        for url in fetched_by_sheet(sheet): yield f'{sheet.relative_to(root)} fetches {url}'


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT/'_docs').resolve()
    if not (root/'index.html').exists():
        sys.exit(f'links: there is no site in {root.name}: python tools/nb.py docs')
    found = sorted(set(problems(root)))
    if found: sys.exit('links: ' + '\n  '.join([f'{len(found)} problems', *found]))
    sizes = [p.stat().st_size for p in root.rglob('*.html')]
    print(f'links: {len(sizes)} pages, all links and anchors resolve, nothing is fetched from '
          f'elsewhere; the largest page has {max(sizes) / 1e6:.2f} MB.')


if __name__ == '__main__': main()
