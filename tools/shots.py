"""Screenshots to look at: `python tools/shots.py FOLDER` after `python tools/nb.py docs`; `--readme` also renews the two in README_files/.

The landing page, a notebook's page and every widget, in light and dark, on a desktop and on a telephone.
"""
import argparse, sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT/'tests')]

from ecgen.model.model import EmpatheticModel
from ecgen.use.playground import Playground
from ecgen.use.widgets import AttentionExplorer, CauseHighlight
from test_browser import FLAGS, TURNS, find_browser

SIZES, THEMES = dict(desktop=(1300, 900), phone=(390, 844)), ('light', 'dark')


def shoot(browser, url, path, size=(1300, 900), theme='light', act=None, only=None, ratio=1):
    "One picture of a page, or of the element `only` in it, after `act` was done to it"
    context = browser.new_context(viewport=dict(width=size[0], height=size[1]), color_scheme=theme, device_scale_factor=ratio)
    page = context.new_page()
    page.goto(url)
    page.wait_for_timeout(900)
    if act: act(page); page.wait_for_timeout(400)
    (page.locator(only).first if only else page).screenshot(path=path)
    context.close()


def widgets(folder):
    "Pages of all widgets; name -> (address, what is done before the picture is taken)"
    model = EmpatheticModel.from_pretrained()
    made = dict(cause=(CauseHighlight(model, TURNS, word=3), None), hard=(CauseHighlight(model, TURNS, gate='hard', threshold=.6), None),
                closed=(CauseHighlight(model, TURNS, gate='hard', threshold=1.), None), explorer=(AttentionExplorer(model, TURNS, gate='hard', head=0, step=2, word=5), None),
                playground=(Playground(model), lambda page: page.click('.ecgen-toggle')))
    for name, (w, _) in made.items(): w.save(folder/f'{name}.html')
    return {name: ((folder/f'{name}.html').as_uri(), act) for name, (_, act) in made.items()}


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='where pictures go')
    parser.add_argument('--readme', action='store_true', help='renew the two pictures of README.md')
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    alone = widgets(args.folder)
    pages = 'index', 'tour', '3_model/gated_attention', '7_use/widgets'
    site = {}
    if (ROOT/'_docs').is_dir():
        site = {f'site-{name.split("/")[-1]}': ((ROOT/'_docs'/f'{name}.html').as_uri(), None)
                for name in pages}
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=find_browser(), args=FLAGS)
        for name, (url, act) in (alone | site).items():
            for theme in THEMES:
                for size, wh in SIZES.items(): shoot(browser, url, args.folder/f'{name}-{theme}-{size}.png', wh, theme, act, None if name in site else '.ecgen')
        for name in ('explorer', 'playground') if args.readme else ():
            shoot(browser, alone[name][0], ROOT/'README_files'/f'shot-{name}.png', (920, 900), 'light', alone[name][1], '.ecgen', 1.2)
        browser.close()
