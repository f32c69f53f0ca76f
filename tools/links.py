"""Check the built site: `python tools/links.py [FOLDER]`, after `python tools/nb.py docs`.

Every link and anchor within it must resolve, no page may fetch anything from elsewhere, and none may exceed 2 MB. Fails with a list.
"""
import re, sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

MOST = 2_000_000                                        # bytes of a page
FETCHED = {'img': 'src', 'script': 'src', 'iframe': 'src', 'link': 'href', 'source': 'src', 'video': 'src', 'object': 'data'}


class Page(HTMLParser):
    "Anchors, links, and what a page fetches"
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.fetched = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.ids |= {a[k] for k in ('id', 'name') if a.get(k)}
        if tag == 'a' and a.get('href'): self.links.append(a['href'])
        if tag in FETCHED and a.get(FETCHED[tag]) and a.get('rel') not in ('canonical', 'author'): self.fetched.append(a[FETCHED[tag]])


def outside(url): return urlsplit(url).scheme in ('http', 'https') or url.startswith('//')


def problems(root):
    "One sentence for everything that is wrong"
    pages = {p: Page(p.read_text(encoding='utf-8')) for p in sorted(root.rglob('*.html'))}
    for path, page in pages.items():
        name = path.relative_to(root).as_posix()
        if (size := path.stat().st_size) > MOST: yield f'{name} has {size / 1e6:.1f} MB'
        for url in page.fetched:
            if outside(url): yield f'{name} fetches {url}'
        for url in page.links + page.fetched:
            if outside(url) or urlsplit(url).scheme in ('mailto', 'data', 'javascript'): continue
            target, anchor = urldefrag(url)
            to = (path.parent/unquote(urlsplit(target).path)).resolve() if target else path
            if to.is_dir(): to = to/'index.html'
            if not to.is_file(): yield f'{name} links to {url}, which is not there'
            elif anchor and to.suffix == '.html' and unquote(anchor) not in pages[to].ids and anchor not in ('', 'top'): yield f'{name} links to {url}, whose anchor is not there'
    for sheet in root.rglob('*.css'):
        for url in re.findall(r'url\(["\']?((?:https?:)?//[^)"\']+)', sheet.read_text(encoding='utf-8')): yield f'{sheet.relative_to(root)} fetches {url}'


if __name__ == '__main__':
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent/'_docs').resolve()
    if not (root/'index.html').exists(): sys.exit(f'links: there is no site in {root.name}: python tools/nb.py docs')
    found = sorted(set(problems(root)))
    if found: sys.exit('links: ' + '\n  '.join([f'{len(found)} problems', *found]))
    sizes = [p.stat().st_size for p in root.rglob('*.html')]
    print(f'links: {len(sizes)} pages, all links and anchors resolve, nothing is fetched from elsewhere; the largest page has {max(sizes) / 1e6:.2f} MB.')
