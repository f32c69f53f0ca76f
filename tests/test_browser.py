"""The widgets in a real browser: `pytest tests/test_browser.py`.

As pages over file://, on the built site (`python tools/nb.py docs` comes first), in JupyterLab with a live kernel, and in `ecgen demo`.
Each test fails if the page reports an error, or asks anything of a machine but this one. Without a browser the tests are skipped, and
say so; with ECGEN_BROWSER=required, as in .ci/run, that is a failure.
"""
import base64, json, math, os, re, shutil, socket, subprocess, sys, time, urllib.error, urllib.request, xml.dom.minidom
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = os.environ.get('ECGEN_BROWSER') == 'required'
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
TURNS = ['My best friend is moving to another country next week.', 'Oh no, you must be close.', 'We have known each other since school. I feel so alone already.']
EVIL = ['<img src=x onerror="document.title=\'run\'"> </script><script>document.title="run"</script> so <b>sad</b> \u202eevil\u202c {{7*7}}', '<style>*{display:none}</style> oh no', '\u200fשלום I am sad &lt;script&gt; <iframe src="http://example.invalid/">']
# what a browser may report as an error: extensions of JupyterLab's that Voila does not load, and a server of ours that was stopped while its page was open
ALLOWED = [r"Shared module @jupyter\S+ doesn't exist in shared scope", r'ERR_CONNECTION_REFUSED.*http://127\.0\.0\.1:\d+/(?:lab/)?api/', r'WebSocket connection to .ws://127\.0\.0\.1:\d+/', r'/favicon\.ico',
           r'file:///\S*/model-\w+\.safetensors']     # and weights that a page from a file may not fetch
DEADLINE = 30_000     # milliseconds that a page may take


def missing(why):
    if REQUIRED: pytest.fail(why)
    pytest.skip(why)


def find_browser():
    "A Chromium of the system: ECGEN_CHROMIUM names it, or it is on the path"
    names = [os.environ.get('ECGEN_CHROMIUM', ''), 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
    return next((found for n in names if n and (found := shutil.which(n))), None)


@pytest.fixture(scope='module')
def browser():
    try: from playwright.sync_api import sync_playwright
    except ImportError: missing('needs playwright: pip install playwright')
    if not (path := find_browser()): missing('needs Chromium: apt-get install chromium, or ECGEN_CHROMIUM=/path/to/it')
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=path, args=FLAGS)
        yield b
        b.close()


@pytest.fixture
def open_page(browser):
    "Opens pages that may neither fail nor ask anything of other machines; checked when the test ends"
    contexts, outside, errors = [], [], []

    def is_local(url): return url.startswith(('file:', 'data:', 'blob:', 'about:', 'http://127.0.0.1:', 'ws://127.0.0.1:', 'http://localhost:', 'ws://localhost:'))

    def open_page(url, **options):
        context = browser.new_context(**{'viewport': {'width': 1100, 'height': 1000}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(DEADLINE)
        context.on('request', lambda r: None if is_local(r.url) else outside.append(r.url))
        page.on('websocket', lambda w: None if is_local(w.url) else outside.append(w.url))
        page.on('pageerror', lambda e: errors.append(str(e)))
        page.on('console', lambda m: errors.append(f'{m.text} ({m.location["url"]})') if m.type == 'error' and not any(re.search(a, m.text + m.location['url']) for a in ALLOWED) else None)
        page.on('dialog', lambda d: (errors.append(f'dialog: {d.message}'), d.dismiss()))
        page.goto(url)
        return page
    yield open_page
    for c in contexts: c.close()
    assert not outside and not errors, '\n'.join([*outside, *errors])


@cache
def model():
    from ecgen.model.model import EmpatheticModel
    return EmpatheticModel.from_pretrained()


@pytest.fixture
def show(open_page, tmp_path):
    "Saves a widget as a page, opens it over file://"
    def show(widget, **options):
        widget.save(tmp_path/'widget.html')
        page = open_page((tmp_path/'widget.html').as_uri(), **options)
        page.wait_for_selector('.ecgen[data-draws]')
        return page
    return show


SEEN = '''(root) =>  Object.fromEntries([...document.querySelector(root).querySelectorAll('[aria-label^="words of the dialogue"] [data-word]')].map(e => [e.dataset.word, [+e.dataset.tint, e.dataset.under, e.getAttribute('aria-label')]]))'''


def wait_drawn(page, before): page.wait_for_function('n => +document.querySelector(".ecgen").dataset.draws > n', arg=before)
def draws(page): return int(page.get_attribute('.ecgen', 'data-draws'))


def press(page, control, *keys):
    "Keys for a control of the page, which redraws"
    for k in keys:
        n = draws(page)
        page.press(f'[data-control="{control}"]', k)
        wait_drawn(page, n)


def tint_of(gate, p, g):
    "How strongly a word is tinted that the model takes for a cause with probability p"
    if gate == 'gumbel': return g
    return 0 if g == 0 else p if gate in ('soft', 'open') else max(p, .25)


def same_as_python(page, scene, gate, word=-1, root='.ecgen', step=0, layer=0, head=-1, **options):
    "Tints, underlines and weights of a page against what Python computes"
    from ecgen.use.widgets import attention, gate_values
    g, seen = gate_values(scene, gate, **options), page.evaluate(SEEN, root)
    a, b = attention(scene)[layer], attention(scene, g)[layer]
    a, b = (x.mean(0) if head < 0 else x[head] for x in (a, b))
    for i, (tint, under, name) in seen.items():
        i = int(i)
        assert under == f'{int(3 * g[i] + .5)}px' and f'gate {g[i]:.2f}' in name, (i, seen[str(i)], g[i])
        p = 1 / (1 + math.exp(-scene['logit'][i]))
        assert tint == pytest.approx(tint_of(gate, p, g[i].item()), abs=6e-4), (i, tint, p)
    if word >= 0:
        said = [float(x) for x in re.findall(r'[ ](\d+\.\d+)', page.inner_text('.ecgen-say'))]
        assert said[1:] == pytest.approx([g[word].item(), a[step, word].item(), b[step, word].item()], abs=6e-4), (said, word)
    return g


# ---------------------------------------------------------------- pages of their own

def test_cause_highlight_by_keyboard(show):
    from ecgen.use.widgets import CauseHighlight
    w = CauseHighlight(model(), TURNS)
    page, s = show(w), w.state['scene']
    same_as_python(page, s, 'soft')
    press(page, 'gate', 'ArrowDown')                                               # soft -> hard
    press(page, 'threshold', 'ArrowRight', 'ArrowRight', 'ArrowRight')
    assert page.get_attribute('.ecgen', 'data-hue') == 'hard'
    assert page.locator('.ecgen-token:visible').count() == 0
    page.focus('[data-word="1"]')
    for _ in range(4): page.keyboard.press('ArrowRight')
    page.wait_for_function('() => document.querySelector(".ecgen-say").textContent.startsWith("moving:")')
    same_as_python(page, s, 'hard', threshold=.53, word=5)
    press(page, 'step', 'ArrowRight', 'ArrowRight')
    press(page, 'layer', 'ArrowDown')
    press(page, 'head', 'ArrowDown')
    same_as_python(page, s, 'hard', threshold=.53, word=5, step=2, layer=1, head=0)
    press(page, 'gate', 'ArrowDown')                                               # -> gumbel
    press(page, 'temperature', 'ArrowLeft', 'ArrowLeft')
    page.click('text=Draw again')
    page.wait_for_timeout(100)
    same_as_python(page, s, 'gumbel', temperature=.9, draw=1, word=5, step=2, layer=1, head=0)
    assert page.locator('.ecgen-emotions li').count() == 32
    assert page.locator('.ecgen-response p').evaluate('e => [...e.childNodes].slice(0, -1).map((n) => n.textContent).join("")') == s['response'] and page.locator('.ecgen-response [data-word]').count() == len(s['words'])
    page.check('[data-control=tokens]')
    assert page.locator('.ecgen-token:visible').all_inner_texts() == ['[CLS]', '[SEP]', '[SEP]', '[SEP]', '<end>'] and 'greedy, gate soft' in page.inner_text('footer')


@pytest.mark.parametrize('gate', ['open', 'rule', 'random'])
def test_gates_of_controls(show, gate):
    "Recomputed in the page, at an open and a closed word, and as the model itself weighs where it reads and writes with this gate"
    from ecgen.model.attention_maps import trace
    from ecgen.use.widgets import AttentionExplorer, CauseHighlight, attention, gate_values
    made, real = CauseHighlight(model(), TURNS, gate=gate), trace(model(), TURNS, gate=gate)
    page, s, g = show(made), made.state['scene'], real.gate.tolist()
    words = [i for i, _ in enumerate(g) if s['context'][i] not in ('[CLS]', '[SEP]')]
    shown = [max((i for i in words if g[i] == wanted), key=lambda i: real.maps.before[:, :, 0, i].mean(1).min()) for wanted in ((1,) if gate == 'open' else (1, 0))]
    for layer in range(s['shape'][0]):
        if layer: press(page, 'layer', 'ArrowDown')
        for i in shown:
            page.hover(f'[data-word="{i}"]')
            page.wait_for_function('t => document.querySelector(".ecgen-say").textContent.startsWith(t)', arg=f'{s["context"][i]}: ')
            same_as_python(page, s, gate, word=i, layer=layer)
            said = [float(x) for x in re.findall(r' (\d+\.\d+)', page.inner_text('.ecgen-say'))]
            assert said == pytest.approx([x[i].item() for x in (real.cause, real.gate, real.maps.before[layer].mean(0)[0], real.maps.after[layer].mean(0)[0])], abs=6e-4)
            assert said[2] > 0 and (said[1], said[3] > 0) == ((1, True) if g[i] else (0, False))
    page, s = show(CauseHighlight(model(), TURNS)), CauseHighlight(model(), TURNS).state['scene']         # and chosen in a page that was written with another
    n = draws(page)
    page.select_option('[data-control=gate]', gate)
    wait_drawn(page, n)
    same_as_python(page, s, gate)
    assert page.inner_text('.ecgen-state').startswith(f'{sum(gate_values(s, gate)[1:] > .5)} of {len(g) - 1} gates')
    w = AttentionExplorer(model(), TURNS, gate=gate, word=shown[-1], layer=1, head=2, step=3)
    page, s = show(w), w.state['scene']
    a, b = (attention(s, x)[1, 2, 3, shown[-1]].item() for x in (None, gate_values(s, gate)))
    assert list(map(float, re.findall(r'\d+\.\d+', page.inner_text('.ecgen-say'))))[:2] == pytest.approx((a, b), abs=6e-5)


BARS = '''(root) => [...document.querySelectorAll(`${root} .ecgen-emotions li`)].map((li) => [li.querySelector('.ecgen-name').textContent, li.querySelector('b').textContent,
  li.querySelector('.ecgen-bar i').getBoundingClientRect().width / li.querySelector('.ecgen-bar').getBoundingClientRect().width])'''


@pytest.mark.parametrize('kind', ['CauseHighlight', 'Playground'])
def test_emotion_bars(show, kind):
    "Names, percentages and drawn lengths of all 32 bars against the model's own answer"
    from ecgen.use.playground import Playground
    from ecgen.use.widgets import CauseHighlight
    said = model().explain(TURNS).emotions
    page = show(CauseHighlight(model(), TURNS) if kind == 'CauseHighlight' else Playground(model(), [TURNS]))
    page.click('.ecgen-emotions summary')
    bars = page.evaluate(BARS, '.ecgen')
    assert len(bars) == 32 and [b[0] for b in bars] == sorted(said, key=lambda e: -said[e]) and sum(said.values()) == pytest.approx(1, abs=1e-3)
    for name, percent, length in bars:
        assert length == pytest.approx(said[name], abs=2e-3), name                                        # a browser draws whole 64ths of a pixel
        near = [said[name] + d for d in (-5e-5, 5e-5)]                                                        # the playground sends four digits
        assert percent in ['<1%' if p < .005 else f'{int(100 * p + .5)}%' for p in near], name
    assert max(b[2] for b in bars) > 3 * min(b[2] for b in bars) and len({round(b[2], 3) for b in bars}) > 8      # drawn, and not all alike


def test_every_word_closed_is_said(show):
    from ecgen.use.widgets import CauseHighlight
    w = CauseHighlight(model(), TURNS, gate='hard', threshold=1., word=3)
    page = show(w)
    assert page.get_attribute('.ecgen', 'data-closed') == 'true' and 'all attention goes to [CLS]' in page.inner_text('.ecgen-state')
    same_as_python(page, w.state['scene'], 'hard', threshold=1., word=3)
    press(page, 'threshold', 'Home')
    assert page.get_attribute('.ecgen', 'data-closed') == 'false'


def test_attention_explorer_links_words(show):
    from ecgen.use.widgets import AttentionExplorer, attention, gate_values
    w = AttentionExplorer(model(), TURNS, gate='soft')
    page, s = show(w), w.state['scene']
    a, b = attention(s).mean(1), attention(s, gate_values(s)).mean(1)
    field = page.locator('.ecgen-field-cells').first
    field.focus()
    for key in ('ArrowDown', 'ArrowRight', 'ArrowRight'): page.keyboard.press(key)
    page.wait_for_function('() => /friend|best/.test(document.querySelector(".ecgen-say").textContent)')
    before, after, gate = map(float, re.findall(r'\d+\.\d+', page.inner_text('.ecgen-say')))
    assert (before, after) == pytest.approx((a[0, 1, 2].item(), b[0, 1, 2].item()), abs=6e-5)
    assert [t.lower() for t in page.locator('[aria-selected=true]').all_inner_texts()] == ['best', s['words'][1]]
    box = page.locator('.ecgen-field-cells').nth(1).bounding_box()                 # hovering in the second map moves the first
    page.mouse.move(box['x'] + box['width'] * 5.5 / s['shape'][3], box['y'] + 17 * 3.5)
    page.wait_for_function('() => document.querySelector(".ecgen-say").textContent.includes("moving")')
    assert page.locator('.ecgen-ring').first.get_attribute('style') == '--m: 3; --i: 5;' and page.locator('.ecgen-small button').count() == 8
    page.locator('.ecgen-small button').nth(6).press('Enter')
    page.wait_for_function('() => document.querySelector("[data-control=head]").value === "2" && document.querySelector("[data-control=layer]").value === "1"')
    pixel = page.evaluate('''() => document.querySelectorAll('.ecgen-cells')[2].getContext('2d').getImageData(0, 0, 1, 1).data.length''')
    assert pixel == 4 and 'computed in this page' in page.inner_text('footer')


def test_playground_shows_recorded_responses(show):
    from ecgen.use.playground import SAMPLES, Playground, playground_answer
    page = show(Playground(model(), SAMPLES[:2]))
    said = page.eval_on_selector('[data-control=sample]', 'e => e.options[e.value].textContent')
    turns = ['Someone broke into my car last night and took my bag.']
    assert said.startswith(turns[0][:40]) and 'Recorded' in page.inner_text('.ecgen-badge') and 'ecgen demo --page FILE' in page.inner_text('.ecgen')
    assert page.inner_text('.ecgen-response p') == playground_answer(model(), turns)['response']
    page.press('[data-turn="0"]', 'Enter')
    page.wait_for_selector('.ecgen-was')
    assert page.inner_text('.ecgen-response p') == playground_answer(model(), turns, [0])['response'] != playground_answer(model(), turns)['response'] == page.inner_text('.ecgen-was span')
    assert page.evaluate('document.activeElement.dataset.turn') == '0' and page.inner_text('[data-turn="0"]') == 'closed by hand'
    assert page.get_attribute('.ecgen', 'data-closed') == 'true' and 'Every word is closed' in page.inner_text('.ecgen-state') and 'null' not in page.inner_text('body')
    page.select_option('[data-control=sample]', '1')
    page.select_option('[data-control=gate]', 'hard')
    page.wait_for_function('() => document.querySelectorAll("[data-turn]").length === 3 && document.querySelector(".ecgen").dataset.hue === "hard"')
    assert page.inner_text('.ecgen-response p') == playground_answer(model(), SAMPLES[1], gate='hard')['response']


def test_playground_compares_within_a_gate(show):
    from ecgen.use.playground import SAMPLES, Playground
    p = Playground(model(), SAMPLES[:1]).record()
    for r in p.recorded['records']: r['response'] = f'{r["gate"]} {r["closed"]}'                            # so that none is like another
    p.state['first'] = p.recorded['records'][0]
    page = show(p)
    page.press('[data-turn="0"]', 'Enter')
    page.wait_for_function('() => document.querySelector(".ecgen-was span")?.textContent === "soft []"')
    page.select_option('[data-control=gate]', 'hard')
    page.wait_for_function('() => document.querySelector(".ecgen-response p").textContent === "hard [0]"')
    assert page.inner_text('.ecgen-was span') == 'hard []' and 'changed' in page.inner_text('.ecgen-say')


def test_playground_says_what_a_gate_closes(show):
    from ecgen.use.playground import Playground
    p = Playground(model(), [TURNS]).record()
    for r in p.recorded['records']:
        if r['gate'] == 'hard': r['gates'] = [1] + [0] * (len(r['gates']) - 1)
    page = show(p)
    assert page.get_attribute('.ecgen', 'data-closed') == 'false' and page.locator('[data-turn]').all_inner_texts() == ['open'] * 3
    page.select_option('[data-control=gate]', 'hard')
    page.wait_for_selector('.ecgen[data-closed=true]')
    assert page.locator('[data-turn]').all_inner_texts() == ['closed by the hard gate'] * 3 and 'all attention goes to [CLS]' in page.inner_text('.ecgen-state')


def test_playground_without_an_answer_says_so(show):
    from ecgen.use.playground import Playground
    p = Playground(model(), [TURNS])
    p.recorded = dict(live=True, patience=1)                                       # a page that thinks that it has a kernel, and has none
    page = show(p)
    page.fill('[data-control=message]', 'I am so sad.')
    page.press('[data-control=message]', 'Enter')
    page.wait_for_selector('.ecgen[data-busy=true]')
    assert 'writing' in page.inner_text('.ecgen-say')
    page.wait_for_selector('.ecgen[data-busy=false]')
    assert 'no answer' in page.inner_text('.ecgen-say') and page.input_value('[data-control=message]') == 'I am so sad.' and page.is_enabled('text=Send')


def test_a_note_is_said(show):
    from ecgen.use.playground import Playground
    page = show(Playground(model(), [TURNS[:1], ['I want to die']]))
    page.select_option('[data-control=sample]', '1')
    page.wait_for_selector('.ecgen-note')
    page.wait_for_selector('.ecgen-note [role=alert]')
    assert page.inner_text('.ecgen-say') == 'There is a note and no response.'
    assert page.text_content('.ecgen-play').count('crisis line') == 1


CONTRAST = '''() => {
  const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map((k) => a[k] * a[3] + b[k] * (1 - a[3]));
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const bad = [];
  for (const el of document.querySelectorAll('.ecgen *')) {
    if (![...el.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !el.checkVisibility() || el.closest('[data-off=true], :disabled')) continue;
    let back = [255, 255, 255];
    const chain = []; for (let e = el; e; e = e.parentElement) chain.push(e);
    for (const e of chain.reverse()) back = over(parse(getComputedStyle(e).backgroundColor), back);
    const ink = over(parse(getComputedStyle(el).color), back), [x, y] = [light(ink), light(back)].sort((a, b) => b - a), ratio = (x + 0.05) / (y + 0.05);
    if (ratio < 4.5) bad.push([el.textContent.slice(0, 30), el.className, ratio.toFixed(2)]);
  }
  return bad;
}'''
NAMELESS = '''() => [...document.querySelectorAll('.ecgen :is(button, select, input, [role=option], [role=application], canvas[role=img])')]
  .filter((e) => e.checkVisibility() && !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim())).map((e) => e.outerHTML.slice(0, 120))'''


@cache
def all_widgets():
    from ecgen.use.playground import Playground
    from ecgen.use.widgets import AttentionExplorer, CauseHighlight
    return (CauseHighlight(model(), TURNS, word=4), CauseHighlight(model(), TURNS, gate='hard', threshold=0.), AttentionExplorer(model(), TURNS), Playground(model(), [TURNS]).record())


@pytest.mark.parametrize('theme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1100, 390])
def test_contrast_names_and_width(show, theme, width):
    for w in all_widgets():
        page = show(w, color_scheme=theme, viewport={'width': width, 'height': 900})
        assert page.get_attribute('.ecgen', 'data-theme') == theme
        page.wait_for_timeout(200)                                                 # tints fade in
        assert page.evaluate(CONTRAST) == [] and page.evaluate(NAMELESS) == [], w.title
        assert page.evaluate('document.documentElement.scrollWidth') <= width, w.title


def big_scene(words=150, steps=20, layers=4, heads=4):
    "A scene of a given size, with random weights: for timing only"
    import torch
    from ecgen.use.widgets import scene
    s, rng = scene(model(), TURNS), torch.Generator().manual_seed(0)
    a = torch.randn(layers, heads, steps, words, generator=rng).softmax(-1)
    names = [f'word{i}' for i in range(words)]
    cut = [dict(speaker='speaker', end=words - 1, pieces=[p for i in range(1, words - 1) for p in ([names[i], i], [' ', -1])])]
    return s | dict(turns=cut, context=names, turn=[0] * words, logit=torch.randn(words, generator=rng).tolist(), noise=torch.randn(8, words, generator=rng).tolist(), fixed={},
                    words=[f'r{m}' for m in range(steps)], shape=[layers, heads, steps, words], before=base64.b64encode(a.numpy().tobytes()).decode())


# Where other work shares the machine, a redraw is measured by a yardstick: work of a fixed size in the same page, which takes
# YARD_MS on two quiet cores. Only what makes the machine slower makes the limit wider.
YARD_MS, FRAME_MS = 14, 1000 / 60
REDRAWS = """async () => {
  const slider = document.querySelector('[data-control=threshold]');
  const root = document.querySelector('.ecgen');
  const frame = () => new Promise(requestAnimationFrame);
  const yardstick = () => {
    const begin = performance.now();
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    for (let i = 0; i < 2000; i++) {
      const rect = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
      rect.setAttribute('x', i % 50);
      rect.setAttribute('y', i / 50);
      rect.setAttribute('fill', `rgb(${i % 256}, 0, 0)`);
      svg.append(rect);
    }
    return performance.now() - begin;
  };
  const times = { draw: [], yard: [] };
  for (let i = 0; i < 24; i++) {
    slider.value = 0.2 + i / 40;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    await frame();
    await frame();
    times.draw.push(+root.dataset.drawMs);
    times.yard.push(yardstick());
  }
  return times;
}"""


@pytest.mark.parametrize('kind', ['CauseHighlight', 'AttentionExplorer'])
def test_redraws_within_a_frame(show, kind, record_property):
    import ecgen.use.widgets as widgets
    w = getattr(widgets, kind)(model(), TURNS, gate='hard')
    w.state['scene'] = big_scene()
    page = show(w)
    tries = [page.evaluate(REDRAWS) for _ in range(3)]      # other work on the machine slows some of them
    medians = [[sorted(t[k])[len(t[k]) // 2] for k in ('draw', 'yard')] for t in tries]
    median, yard = min(medians, key=lambda m: m[0] / max(1, m[1] / YARD_MS))
    median_here = median / max(1, yard / YARD_MS)
    record_property('redraw_ms', median)
    print(f'{kind}: redraw median {median:.1f} ms, yardstick {yard:.1f} ms, page {len(w.to_html()) // 1024} KB;'
          f' first render {page.get_attribute(".ecgen", "data-render-ms")} ms')
    assert median_here < FRAME_MS


# ---------------------------------------------------------------- hostile and long text

@pytest.mark.parametrize('kind', ['CauseHighlight', 'AttentionExplorer', 'Playground'])
def test_text_is_data(show, kind):
    from ecgen.use import playground, widgets
    from ecgen.use.show import clean
    w = playground.Playground(model(), [EVIL]) if kind == 'Playground' else getattr(widgets, kind)(model(), EVIL)
    page = show(w)
    title = page.title()
    assert page.locator('.ecgen :is(img, script, style, iframe, b[class])').count() == 0
    shown = page.evaluate("() => [...document.querySelectorAll('.ecgen .ecgen-turn p')].slice(0, 3).map((p) => [...p.childNodes].filter((n) => !n.classList?.contains('ecgen-token')).map((n) => n.textContent).join(''))")
    assert [t.strip() for t in shown] == [clean(t).strip() for t in EVIL] and title != 'run' and page.title() == title
    svg = page.evaluate("() => document.querySelectorAll('[data-export=svg]').length")
    if svg:
        with page.expect_download() as d: page.click('[data-export=svg]')
        text = Path(d.value.path()).read_text(encoding='utf-8')
        assert '<img' not in text and '<script' not in text and (kind == 'AttentionExplorer' or 'onerror' in text) and xml.dom.minidom.parseString(text.encode())


def test_each_turn_takes_its_direction_from_its_own_text(show):
    from ecgen.use import playground, widgets
    turns = ['אחותי חזרה הביתה (היום).', 'Oh, how nice!', 'اليوم Rex bit 5 dogs.']
    want = ['rtl', 'ltr', 'rtl']
    for w in (widgets.CauseHighlight(model(), turns), widgets.AttentionExplorer(model(), turns), playground.Playground(model(), [turns])):
        page = show(w)
        found = page.evaluate("() => [...document.querySelectorAll('.ecgen-turn p')].slice(0, 3).map((p) => getComputedStyle(p).direction)")
        assert found == want, (w.title, found)
    page = show(widgets.CauseHighlight(model(), turns))
    with page.expect_download() as d: page.click('[data-export=svg]')
    texts = xml.dom.minidom.parse(str(d.value.path())).getElementsByTagName('text')
    at = {t.firstChild.data: float(t.getAttribute('x')) for t in texts if t.firstChild}
    assert at['הביתה'] < at['חזרה'] < at['אחותי'] and at['Rex'] < at['bit'] < at['5'] < at['dogs'] < at['اليوم'] and at['Oh'] < at['how'] < at['nice']
    ends = {t.firstChild.data: (t.getAttribute('direction'), t.getAttribute('text-anchor')) for t in texts if t.firstChild}
    assert ends['חזרה'] == ('rtl', 'end') and ends['Oh'] == ('', 'start')


@pytest.mark.parametrize('kind', ['CauseHighlight', 'AttentionExplorer'])
def test_the_note_stands_in_place_of_a_response(show, kind):
    from ecgen.use import widgets
    page = show(getattr(widgets, kind)(model(), ['I don‘t want to live anymore.']))
    assert 'crisis line' in page.inner_text('.ecgen-response') and page.locator('.ecgen-response [data-word]').count() == 0
    page.hover('text=live')
    page.wait_for_function('() => document.querySelector(".ecgen-say").textContent.includes("live")')
    assert 'no response was written' in page.inner_text('.ecgen footer')


def test_markup_in_any_field_is_text(show):
    "Words as the model never makes them: each field that holds text holds markup"
    from ecgen.use.playground import Playground
    from ecgen.use.widgets import AttentionExplorer, CauseHighlight
    evil = '<img src=x onerror="document.title=\'run\'"><b>bold</b>'

    def spoil(scene):
        scene['context'][1] = scene['emotions'][0][0] = scene['response'] = evil
        scene['turns'][0]['pieces'][0][0] = scene['turns'][0]['speaker'] = evil
        if 'words' in scene: scene['words'][0] = scene['model'] = evil

    p = Playground(model(), [TURNS[:1]], command=evil).record()
    for r in p.recorded['records']: spoil(r)
    spoil(p.state['first'])
    p.state['name'] = evil
    made = CauseHighlight(model(), TURNS, word=1), AttentionExplorer(model(), TURNS, word=1)
    for w in made: spoil(w.state['scene'])
    for w in (*made, p):
        page = show(w)
        page.hover('[data-word="1"]')
        page.wait_for_timeout(200)
        assert page.locator('.ecgen :is(img, b b, p b, span b)').count() == 0 and page.title() != 'run'
        assert page.inner_text('.ecgen').count('<b>bold</b>') >= 4, w.title


def test_five_thousand_words(show):
    from ecgen.use.widgets import CauseHighlight
    page = show(CauseHighlight(model(), ['so ' * 5000, 'Oh no!', 'I am sad.']))
    assert page.locator('[aria-label^="words of the dialogue"] [data-word]').count() == 512 and page.inner_text('.ecgen-turn p').count('so') > 490
    assert page.evaluate('document.documentElement.scrollWidth') <= 1100
    page.hover('text=sad')
    page.wait_for_function('() => document.querySelector(".ecgen-say").textContent.startsWith("sad:")')


def test_pictures_are_saved(show):
    from ecgen.use.widgets import AttentionExplorer, CauseHighlight
    for w in (CauseHighlight(model(), TURNS), AttentionExplorer(model(), TURNS)):
        page = show(w)
        with page.expect_download() as d: page.click('[data-export=png]')
        data = Path(d.value.path()).read_bytes()
        assert data[:8] == b'\x89PNG\r\n\x1a\n' and int.from_bytes(data[16:20], 'big') >= 800 and d.value.suggested_filename.endswith('.png')
        with page.expect_download() as d: page.click('[data-export=svg]')
        picture = xml.dom.minidom.parse(str(d.value.path()))
        assert picture.documentElement.tagName == 'svg' and len(picture.getElementsByTagName('text')) > 20


# ---------------------------------------------------------------- servers

@contextmanager
def server(command, url, **options):
    "A server of this machine, stopped at the end"
    log = Path(options.pop('log'))
    with log.open('w') as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **options) as p:
        try:
            end = time.monotonic() + 90
            while True:
                try: urllib.request.urlopen(url, timeout=2).close(); break
                except urllib.error.HTTPError: break
                except OSError: time.sleep(.2)
                if p.poll() is not None or time.monotonic() > end: pytest.fail(f'{command[2]} did not start:\n{log.read_text()[-2000:]}')
            yield
        finally:
            p.terminate()
            try: p.wait(15)
            except subprocess.TimeoutExpired: p.kill()


@contextmanager
def served(folder):
    "A folder as any host would serve it"
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread
    handler = partial(type('Quiet', (SimpleHTTPRequestHandler,), {'log_message': lambda *_: None}), directory=str(folder))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as s:
        Thread(target=s.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{s.server_port}'
        s.shutdown()


def port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def private(tmp):
    "Folders of Jupyter's that are not the user's own"
    names = ('JUPYTER_CONFIG_DIR', 'JUPYTER_DATA_DIR', 'JUPYTERLAB_SETTINGS_DIR', 'JUPYTERLAB_WORKSPACES_DIR', 'JUPYTER_RUNTIME_DIR', 'IPYTHONDIR', 'MPLCONFIGDIR')
    return os.environ | {n: str(tmp/n.lower()) for n in names} | {'PYTHONPATH': os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))}


LAB_READY = '''async (name) => {
  const app = window.jupyterapp; await app.restored;
  let w; for (let i = 0; i < 600 && !w; i++) { w = [...app.shell.widgets('main')].find((x) => x.context?.path === name); if (!w) await new Promise((r) => setTimeout(r, 50)); }
  await w.context.ready; await w.revealed; await w.sessionContext.ready; app.shell.activateById(w.id); await new Promise((r) => setTimeout(r, 100));
  window.ecgenKernel = w.sessionContext.session.kernel;
  return app.commands.execute('notebook:run-all-cells'); }'''
ASK = '''(code) => new Promise((done) => { const f = window.ecgenKernel.requestExecute({ code }); let text = '';
  f.onIOPub = (m) => { if (m.header.msg_type === 'stream') text += m.content.text; if (m.header.msg_type === 'error') text += m.content.traceback.join('\\n'); }; f.done.then(() => done(text)); })'''


def lesson(source, target, keep):
    "A notebook's library and lesson cells up to the one that contains `keep`, without saved outputs and tests"
    nb = json.loads(source.read_text(encoding='utf-8'))
    last = max(i for i, c in enumerate(nb['cells']) if keep in ''.join(c['source']))
    nb['cells'] = [c for c in nb['cells'][:last + 1] if c['cell_type'] == 'code' and not ''.join(c['source']).startswith('#| test')]
    for c in nb['cells']: c['outputs'] = []
    target.write_text(json.dumps(nb), encoding='utf-8')


@pytest.mark.slow
def test_jupyterlab_with_a_live_kernel(open_page, tmp_path):
    if not find_spec('jupyterlab'): missing('needs JupyterLab: pip install -c constraints.txt -e ".[dev]"')
    (tmp_path/'nb').mkdir()
    lesson(ROOT/'nbs'/'7_use'/'01_widgets.ipynb', tmp_path/'nb'/'widgets.ipynb', 'AttentionExplorer(model, turns')
    n = port()
    options = ['--no-browser', '--allow-root', '--ip=127.0.0.1', f'--port={n}', '--ServerApp.port_retries=0', '--IdentityProvider.token=', f'--ServerApp.root_dir={tmp_path}/nb',
               '--LabApp.news_url=', '--LabApp.expose_app_in_browser=True', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']
    with server([sys.executable, '-m', 'jupyterlab', *options], f'http://127.0.0.1:{n}/api', env=private(tmp_path), log=tmp_path/'log'):
        page = open_page(f'http://127.0.0.1:{n}/lab/tree/widgets.ipynb?reset')
        page.set_default_timeout(90_000)
        page.wait_for_selector('.jp-Notebook .jp-Cell')
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        assert page.evaluate(LAB_READY, 'widgets.ipynb') is True
        page.wait_for_selector('[data-widget=CauseHighlight][data-draws]')
        page.wait_for_selector('[data-widget=AttentionExplorer][data-draws]', state='attached')          # several on a page
        def ask(code): return page.evaluate(ASK, code).strip()
        scene = json.loads(ask('print(json.dumps(s))'))
        same_as_python(page, scene, 'soft', root='[data-widget=CauseHighlight]')
        root = page.locator('[data-widget=CauseHighlight]')
        root.locator('[data-control=gate]').focus()
        page.keyboard.press('ArrowDown')
        root.locator('[data-control=threshold]').focus()
        for _ in range(3): page.keyboard.press('ArrowRight')
        page.wait_for_function('() => document.querySelector("[data-control=threshold]").value === "0.53"')
        page.wait_for_function('() => document.querySelector("[data-widget=CauseHighlight]").dataset.hue === "hard"')
        page.wait_for_timeout(300)
        seen, told = page.evaluate(SEEN, '[data-widget=CauseHighlight]'), json.loads(ask(
            'v = highlight.live()\nprint(json.dumps([v.gate, v.threshold, gate_values(s, v.gate, v.threshold).tolist()]))'))
        assert told[:2] == ['hard', .53] and {int(i): u for i, (_, u, _) in seen.items()} == {i: f'{int(3 * g)}px' for i, g in enumerate(told[2])}
        root.locator('[data-word="5"]').first.hover()
        page.wait_for_function('() => document.querySelector("[data-widget=CauseHighlight] .ecgen-say").textContent.startsWith("moving")')
        before, after = map(float, re.findall(r'(?:before|after) ([\d.]+)', root.locator('.ecgen-say').inner_text()))
        weights = json.loads(ask('g = gate_values(s, v.gate, v.threshold)\nprint([attention(s)[0, :, 0, 5].mean().item(), attention(s, g)[0, :, 0, 5].mean().item()])'))
        assert [before, after] == pytest.approx(weights, abs=6e-5)
        assert 'null' not in root.inner_text()
        ask("highlight.live().gate = 'soft'")                                                             # and Python moves the page
        page.wait_for_function('() => document.querySelector("[data-widget=CauseHighlight]").dataset.hue === "soft"')


@pytest.mark.slow
def test_demo_answers_a_typed_dialogue(open_page, tmp_path):
    if not find_spec('voila'): missing('needs Voila: pip install -c constraints.txt -e ".[dev]"')
    from ecgen.use.playground import SAMPLES, playground_answer
    n = port()
    with server([sys.executable, '-m', 'ecgen.cli', 'demo', '--no-browser', '--port', str(n)], f'http://127.0.0.1:{n}/voila/static/', env=private(tmp_path), cwd=tmp_path, log=tmp_path/'log'):
        end = time.monotonic() + 60
        while not (said := re.search(r'http://127\.0\.0\.1:\d+/\?token=\S+', (tmp_path/'log').read_text())) and time.monotonic() < end: time.sleep(.2)
        closed = urllib.request.build_opener().open(f'http://127.0.0.1:{n}/')                              # without the token there is only a door
        assert 'login' in closed.url and b'Playground' not in closed.read()
        page = open_page(said[0])
        page.wait_for_selector('[data-widget=Playground][data-draws]', timeout=60_000)
        assert 'Live' in page.inner_text('.ecgen-badge') and page.inner_text('.ecgen-response p') == playground_answer(model(), SAMPLES[0])['response']
        assert 'null' not in page.inner_text('body')
        page.click('text=New dialogue')
        page.keyboard.type('My sister moved to Canada last month and the house feels so empty now.')
        page.keyboard.press('Enter')
        turns = ['My sister moved to Canada last month and the house feels so empty now.']
        first = playground_answer(model(), turns)['response']
        page.wait_for_function('t => document.querySelector(".ecgen-response p")?.textContent === t', arg=first)
        page.press('[data-turn="0"]', 'Space')                                                           # closes the turn's gate
        page.wait_for_function('t => document.querySelector(".ecgen-response p").textContent === t', arg=playground_answer(model(), turns, [0])['response'])
        page.press('[data-turn="0"]', 'Space')
        page.wait_for_function('t => document.querySelector(".ecgen-response p").textContent === t', arg=first)
        page.fill('[data-control=message]', EVIL[0])
        page.press('[data-control=message]', 'Enter')
        page.wait_for_function('t => document.querySelector(".ecgen-response p").textContent === t', arg=playground_answer(model(), [*turns, first, EVIL[0]])['response'])
        assert page.locator('.ecgen :is(img, script, style)').count() == 0
        page.fill('[data-control=message]', 'I want to die')
        page.press('[data-control=message]', 'Enter')
        page.wait_for_selector('.ecgen-note')
        assert 'crisis line' in page.inner_text('.ecgen-note p') and page.locator('.ecgen-response').count() == 0
        page.fill('[data-control=message]', 'I am glad.')
        page.press('[data-control=message]', 'Enter')
        page.wait_for_selector('.ecgen-stage :text("glad")')
        assert 'crisis line' in page.inner_text('.ecgen-note p') and page.locator('.ecgen-response').count() == 0
        last = playground_answer(model(), [*turns, first, EVIL[0]])['response']
        for _ in range(2):                    # the note stands until its message is taken back
            page.wait_for_selector('text=Undo >> visible=true')
            page.click('text=Undo')
            page.wait_for_selector('.ecgen[data-busy=false]')
        page.wait_for_function('t => document.querySelector(".ecgen-response p")?.textContent === t', arg=last)
        page.emulate_media(color_scheme='dark')
        page.wait_for_selector('[data-widget=Playground][data-theme=dark]')
        assert page.evaluate('getComputedStyle(document.body).backgroundColor') == 'rgb(15, 14, 21)'


# ---------------------------------------------------------------- the model in the page

@pytest.fixture(scope='module')
def live_folder(tmp_path_factory):
    "The page with the weights in it, and the page with the weights beside it"
    from ecgen.use.live import LivePlayground, write_live
    folder = tmp_path_factory.mktemp('live')
    LivePlayground().save(folder/'alone.html')
    write_live(folder)
    return folder


@pytest.fixture(scope='module')
def live_server(live_folder):
    with served(live_folder) as address: yield address


def wait_ready(page):
    page.wait_for_selector('.ecgen[data-ready-ms]')
    wait_answered(page)


def wait_answered(page): page.wait_for_function('() => document.querySelector(".ecgen").dataset.busy === "false" && document.querySelector(".ecgen-response [data-word], .ecgen-note")')


COUNT = """() => {
  const el = document.querySelector('.ecgen');
  if (window.busyChanges === undefined) {
    window.busyChanges = 0;
    new MutationObserver((records) => { window.busyChanges += records.length; }).observe(el, { attributes: true, attributeFilter: ['data-busy'] });
  }
  return window.busyChanges;
}"""


def answered(page, act):
    "Do something that asks the model, and wait for its answer; an answer may come faster than one can look"
    before = page.evaluate(COUNT)
    act()
    page.wait_for_function('n => window.busyChanges > n', arg=before)
    wait_answered(page)


def say_live(page, text):
    page.fill('[data-control=message]', text)
    page.press('[data-control=message]', 'Enter')
    page.wait_for_function('t => [...document.querySelectorAll(".ecgen-turn")].some((e) => e.textContent.includes(t))', arg=text[:20])
    wait_answered(page)


def response_of(page): return page.locator('.ecgen-response p').evaluate('e => [...e.childNodes].filter((n) => !n.classList?.contains("ecgen-token")).map((n) => n.textContent).join("")').strip()


def by_python(turns, **question):
    from ecgen.data.dialogues import detokenize
    from ecgen.use.live import reference_answer
    return detokenize(model().vocab.decode(reference_answer(model(), turns, **question)['ids']))


@pytest.mark.slow
@pytest.mark.parametrize('where', ['file', 'http'])
def test_live_page_answers_as_python_does(open_page, live_folder, live_server, where):
    "Typed dialogue, closed turn, closed and opened words, other gates"
    page = open_page((live_folder/'alone.html').as_uri() if where == 'file' else f'{live_server}/play.html')
    if where == 'http':
        page.wait_for_selector('.ecgen[data-draws]')
        assert page.get_attribute('.ecgen-badge', 'data-live') == 'false' and page.inner_text('[data-control=load]') == 'Load the model (20 MB)'
        page.click('[data-control=load]')
    wait_ready(page)
    page.click('text=New dialogue')
    text = 'My sister moved to Canada last month and the house feels so empty now.'
    say_live(page, text)
    page.context.set_offline(True)                                                 # nothing more is needed
    assert response_of(page) == by_python([text])
    for key, hand in (('Enter', dict(turns={0: 0})), ('Enter', dict(turns={0: 1})), ('Enter', {})):
        answered(page, lambda: page.press('[data-turn="0"]', key))
        assert response_of(page) == by_python([text], hand=hand), hand
    for i, hand in ((13, {13: 0}), (12, {13: 0, 12: 0}), (12, {13: 0, 12: 1})):
        answered(page, page.locator(f'.ecgen-stage > [role=listbox] [data-word="{i}"]').first.click)
        assert response_of(page) == by_python([text], hand=dict(words=hand)), hand
    for gate in ('hard', 'open', 'rule'):
        answered(page, lambda: page.select_option('[data-control=gate]', gate))
        assert response_of(page) == by_python([text], gate=gate, hand=dict(words={13: 0, 12: 1})), gate
    first = response_of(page)
    say_live(page, 'I call her every night, but it is not the same.')
    assert response_of(page) == by_python([text, first, 'I call her every night, but it is not the same.'], gate='rule')


@pytest.mark.slow
def test_live_page_shows_numbers_of_python(open_page, live_folder):
    "Emotion bars, cause probabilities, attention before and after for the word under the pointer; comparing two settings"
    from ecgen.model.attention_maps import cause_mass, trace
    page = open_page((live_folder/'alone.html').as_uri())
    wait_ready(page)
    page.select_option('[data-control=sample]', '1')
    page.wait_for_function('() => document.querySelectorAll("[data-turn]").length === 3')
    wait_answered(page)
    from ecgen.use.playground import SAMPLES
    w, said = trace(model(), SAMPLES[1]), model().explain(SAMPLES[1]).emotions
    page.click('.ecgen-emotions summary')
    for name, percent, length in page.evaluate(BARS, '.ecgen'): assert length == pytest.approx(said[name], abs=2e-3), name
    for step in (0, 2):
        page.locator('.ecgen-response [data-word]').nth(step).click()
        page.hover('.ecgen-stage > [role=listbox] >> nth=0 >> [data-word="4"]')
        page.wait_for_function('t => document.querySelector(".ecgen-say").textContent.startsWith(t)', arg=f'{SAMPLES[1][0].split()[3]}: ')
        shown = list(map(float, re.findall(r' (\d+\.\d+)', page.inner_text('.ecgen-say'))))
        assert shown == pytest.approx([x[4].item() for x in (w.cause, w.gate, w.maps.before[0].mean(0)[step], w.maps.after[0].mean(0)[step])], abs=6e-4)
    page.click('[data-control=keep]')
    page.press('[data-turn="2"]', 'Enter')
    page.wait_for_function('() => document.querySelectorAll(".ecgen-card").length === 2 && document.querySelector(".ecgen-compare").textContent.includes("turn 3 closed")')
    before, after = cause_mass(w).mean((1, 2)).tolist()
    assert f'{100 * before:.0f}% without gates, {100 * after:.0f}% with' in page.locator('.ecgen-card').first.inner_text()
    assert page.locator('.ecgen-card .ecgen-response p').all_inner_texts() == [w.response, by_python(SAMPLES[1], hand=dict(turns={2: 0}))]
    page.click('[data-control=keep]')
    page.select_option('[data-control=gate]', 'gumbel')
    wait_answered(page)
    gates = page.evaluate('() => [...document.querySelectorAll(".ecgen-stage [aria-label*=gate]")].map((e) => e.getAttribute("aria-label"))')
    page.click('text=Draw again')
    page.wait_for_function('g => JSON.stringify([...document.querySelectorAll(".ecgen-stage [aria-label*=gate]")].map((e) => e.getAttribute("aria-label"))) !== g', arg=json.dumps(gates, ensure_ascii=False).replace('", "', '","'))


def test_live_page_takes_text_as_text_and_notes_danger(open_page, live_folder):
    page = open_page((live_folder/'alone.html').as_uri())
    wait_ready(page)
    title = page.title()
    page.click('text=New dialogue')
    say_live(page, EVIL[0])
    assert response_of(page) == by_python([EVIL[0]]) and page.locator('.ecgen :is(img, script, style, iframe)').count() == 0 and page.title() == title
    say_live(page, 'I don‘t want to live anymore.')
    assert 'crisis line' in page.inner_text('.ecgen-note') and page.locator('.ecgen-response').count() == 0
    say_live(page, 'I am glad.')                 # the note stands until its message is taken back
    page.wait_for_selector('text=I am glad.')
    assert page.locator('.ecgen-response').count() == 0 and page.locator('.ecgen-emotions').count() == 0
    assert page.inner_text('.ecgen-play').count('crisis line') == 2
    page.click('text=New dialogue')
    say_live(page, 'I am glad.')
    assert response_of(page) == by_python(['I am glad.'])


@pytest.mark.parametrize('where', ['file', 'http'])
def test_live_page_with_damaged_weights_keeps_recorded_answers(open_page, live_folder, tmp_path, where):
    from ecgen.use.playground import SAMPLES, playground_answer
    if where == 'file':
        (tmp_path/'live.html').write_bytes((live_folder/'alone.html').read_bytes()[:15_000_000])       # the end of the file is missing
        page = open_page((tmp_path/'live.html').as_uri())
    else:
        shutil.copy(live_folder/'play.html', tmp_path)
        weights = next(live_folder.glob('model-*'))
        (tmp_path/weights.name).write_bytes(weights.read_bytes()[:9_000_000])
        with served(tmp_path) as address:
            page = open_page(f'{address}/play.html')
            page.click('[data-control=load]')
            page.wait_for_function('() => document.querySelector(".ecgen-loader").textContent.includes("could not be loaded")')
            shutil.copy(weights, tmp_path)                                                               # mended: another try succeeds
            kept_answers(page)
            page.click('[data-control=load]')
            wait_ready(page)
            return
    page.wait_for_function('() => document.querySelector(".ecgen-loader").textContent.includes("could not be loaded")')
    kept_answers(page)


def kept_answers(page):
    "The recorded answers are there and can be chosen"
    from ecgen.use.playground import SAMPLES, playground_answer
    assert 'the recorded answers stay' in page.inner_text('.ecgen-loader') and 'Recorded' in page.inner_text('.ecgen-badge')
    page.press('[data-turn="0"]', 'Enter')
    page.wait_for_selector('.ecgen-was')
    assert page.inner_text('.ecgen-response p') == playground_answer(model(), SAMPLES[0], [0])['response']


@pytest.mark.parametrize('theme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1100, 390])
def test_live_page_contrast_names_and_width(open_page, live_folder, theme, width):
    page = open_page((live_folder/'alone.html').as_uri(), color_scheme=theme, viewport={'width': width, 'height': 1200})
    wait_ready(page)
    page.click('[data-control=keep]')
    page.press('[data-turn="0"]', 'Enter')
    page.wait_for_selector('.ecgen-card')
    page.wait_for_timeout(300)
    assert page.get_attribute('.ecgen', 'data-theme') == theme and page.evaluate(CONTRAST) == [] and page.evaluate(NAMELESS) == []
    assert page.evaluate('document.documentElement.scrollWidth') <= width


# ---------------------------------------------------------------- the site

@pytest.fixture(scope='module')
def site():
    "The built site, served as any host would serve it"
    if not (ROOT/'_docs'/'index.html').exists(): missing('needs the site: python tools/nb.py docs')
    with served(ROOT/'_docs') as address: yield address


def test_site_has_widgets_that_can_be_touched(site, open_page):
    for url in (f'{site}/index.html', (ROOT/'_docs'/'index.html').as_uri()):
        page = open_page(url)
        frame = page.frame_locator('iframe.ecgen-widget').nth(1)
        frame.locator('[data-control=gate]').press('ArrowDown')
        frame.locator('.ecgen[data-hue=hard]').wait_for()
        frame.locator('[data-control=threshold]').press('End')
        frame.locator('.ecgen[data-closed=true]').wait_for()
        tall = page.locator('iframe.ecgen-widget').nth(1).bounding_box()['height']
        assert abs(tall - frame.locator('.ecgen').bounding_box()['height']) < 12                           # the page around follows its height


def test_first_page_has_widgets_and_no_pictures_of_them(site, open_page):
    from ecgen.use.playground import SAMPLES, playground_answer
    page = open_page(f'{site}/index.html')
    assert page.locator('iframe.ecgen-widget').count() == 4 and page.locator('img[src*="shot-"]').count() == 0
    for i in (2, 3):
        page.locator('iframe.ecgen-widget').nth(i).scroll_into_view_if_needed()                          # loaded when somebody comes near
        page.frame_locator('iframe.ecgen-widget').nth(i).locator('.ecgen[data-draws]').wait_for()
    game = page.frame_locator('iframe.ecgen-widget').nth(2)
    game.locator('[data-turn="0"]').press('Enter')
    game.locator('.ecgen-was').wait_for()
    assert game.locator('.ecgen-response p').inner_text() == playground_answer(model(), SAMPLES[0], [0])['response']
    page.frame_locator('iframe.ecgen-widget').nth(3).locator('.ecgen-small button').nth(5).press('Enter')


def test_first_page_has_the_model_itself(site, open_page):
    from ecgen.use.playground import SAMPLES, playground_answer
    page = open_page(f'{site}/index.html')
    game = page.frame_locator('iframe.ecgen-widget').first
    game.locator('[data-control=load]').click()
    game.locator('.ecgen[data-ready-ms]').wait_for()
    game.locator('.ecgen-response [data-word]').first.wait_for()
    game.locator('[data-turn="0"]').press('Enter')
    game.locator('.ecgen-was').wait_for()
    assert game.locator('.ecgen-badge').get_attribute('data-live') == 'true'
    assert game.locator('.ecgen-was span').inner_text() == playground_answer(model(), SAMPLES[0])['response']
    page = open_page((ROOT/'_docs'/'index.html').as_uri())                                                # from a file nothing can be fetched
    game = page.frame_locator('iframe.ecgen-widget').first
    game.locator('[data-control=load]').click()
    game.locator('text=ecgen demo --page FILE --live writes one').wait_for()
    game.locator('[data-turn="0"]').press('Enter')
    game.locator('.ecgen-was').wait_for()


def test_site_pages_work_without_network(site, open_page):
    page = open_page(f'{site}/3_model/gated_attention.html')
    page.wait_for_selector('mjx-container')                                                               # maths, from this site's own files
    assert page.locator('#gated-weights, #gated_weights').count() and page.locator('.next-page').count() == 1 == page.locator('.prev-page').count()
    page.goto(f'{site}/search.html?q=gumbel')
    page.wait_for_selector('#search-results li a')
    page.goto(f'{site}/7_use/widgets.html')
    assert page.locator('iframe.ecgen-widget').count() == 2
    assert page.frame_locator('iframe.ecgen-widget').nth(1).locator('.ecgen-small button').count() == 8


# ---------------------------------------------------------------- the width of pages

TEACHING = ['tour', *(f'{part}/*' for part in ('2_causes', '3_model'))]
CUT_OFF = '''() => { document.querySelectorAll('article details').forEach(d => d.open = true);
    return [...document.querySelectorAll('article pre')].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText.slice(0, 80)) }'''


@pytest.mark.slow
def test_code_is_not_cut_off_and_pages_do_not_scroll_sideways(open_page):
    if not (ROOT/'_docs'/'tour.html').exists(): missing('needs the site: python tools/nb.py docs')
    pages = sorted(p for name in TEACHING for p in (ROOT/'_docs').glob(f'{name}.html'))
    assert len(pages) > 15
    wide, narrow = (open_page('about:blank', viewport=dict(width=w, height=900)) for w in (1280, 390))
    cut, sideways = {}, []
    for path in pages:
        wide.goto(path.as_uri())
        if found := wide.evaluate(CUT_OFF): cut[path.name] = found
        narrow.goto(path.as_uri())
        if narrow.evaluate('document.documentElement.scrollWidth') > 390: sideways.append(path.name)
    assert not cut and not sideways
