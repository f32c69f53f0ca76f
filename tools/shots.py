"""Screenshots to look at: `python tools/shots.py FOLDER` after `python tools/nb.py docs`;
`--readme` also renews the two in README_files/.

The landing page, a notebook's page and every widget, in light and dark, on a desktop and on a
telephone.
"""
import argparse
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT/'tests')]

from ecgen.model.model import EmpatheticModel
from ecgen.use.playground import Playground
from ecgen.use.widgets import AttentionExplorer, CauseHighlight
from test_browser import FLAGS, TURNS, find_browser

SIZES = dict(desktop=(1300, 900), phone=(390, 844))
THEMES = ('light', 'dark')
PAGES = ('index', 'tour', '3_model/gated_attention', '7_use/widgets')      # of the site
WIDGET = '.ecgen'           # the widget in its page, as CSS finds it


def shoot(browser, url, path, size=(1300, 900), theme='light', act=None, only=None, ratio=1):
    "One picture of a page, or of the element `only` in it, after `act` was done to it"
    viewport = dict(width=size[0], height=size[1])
    context = browser.new_context(viewport=viewport, color_scheme=theme, device_scale_factor=ratio)
    page = context.new_page()
    page.goto(url)
    page.wait_for_timeout(900)
    if act:
        act(page)
        page.wait_for_timeout(400)
    shown = page.locator(only).first if only else page
    shown.screenshot(path=path)
    context.close()


def toggle(page): page.click('.ecgen-toggle')


def widgets(folder):
    "Pages of all widgets; name -> (address, what is done before the picture is taken)"
    model = EmpatheticModel.from_pretrained()
    made = dict(
        cause=CauseHighlight(model, TURNS, word=3),
        hard=CauseHighlight(model, TURNS, gate='hard', threshold=.6),
        closed=CauseHighlight(model, TURNS, gate='hard', threshold=1.),
        explorer=AttentionExplorer(model, TURNS, gate='hard', head=0, step=2, word=5),
        playground=Playground(model))
    acts = dict(playground=toggle)
    for name, widget in made.items(): widget.save(folder/f'{name}.html')
    return {name: ((folder/f'{name}.html').as_uri(), acts.get(name)) for name in made}


def site_pages():
    "Some pages of the site, if it has been built, as `widgets` gives its own"
    site = ROOT/'_docs'
    if not site.is_dir(): return {}
    return {f'site-{name.split("/")[-1]}': ((site/f'{name}.html').as_uri(), None) for name in PAGES}


def shoot_all(browser, pages, only, folder):
    "Pictures of pages in all themes and sizes"
    for name, (url, act) in pages.items():
        for theme in THEMES:
            for kind, size in SIZES.items():
                path = folder/f'{name}-{theme}-{kind}.png'
                shoot(browser, url, path, size, theme, act, only)


def shoot_readme(browser, pages):
    "The two pictures of README.md"
    for name in ('explorer', 'playground'):
        url, act = pages[name]
        path = ROOT/'README_files'/f'shot-{name}.png'
        shoot(browser, url, path, (920, 900), 'light', act, WIDGET, 1.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='where pictures go')
    parser.add_argument('--readme', action='store_true',
                        help='renew the two pictures of README.md')
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    alone = widgets(args.folder)
    site = site_pages()
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=find_browser(), args=FLAGS)
        shoot_all(browser, alone, WIDGET, args.folder)
        shoot_all(browser, site, None, args.folder)
        if args.readme: shoot_readme(browser, alone)
        browser.close()


if __name__ == '__main__': main()
