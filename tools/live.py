"""Parity and speed of the model in the page:
`python tools/live.py parity|speed [--out FILE]`; both write data/results/live.json.

parity: JavaScript (node) against Python: words of all validation utterances, responses to 500
contexts with all kinds of gates.
speed: Chromium with the self-contained page and with the weights beside a page; Python on one
thread beside it.
Without the corpus (ECGEN_DATA) the sample takes its place, which the file then says.
"""
import argparse
import functools
import http.server
import json
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OUT = ROOT/'data'/'results'/'live.json'
WORDS = 10          # of a response
ROUNDS = 31
LONG = 70           # tokens of a context
SIZE = dict(width=1100, height=1000)      # of the browser's window
SHOWN = '.ecgen[data-draws]'
READY = '.ecgen[data-ready-ms]'
ANSWERED = """() => document.querySelector(".ecgen").dataset.busy === "false" \
&& document.querySelector(".ecgen-response [data-word]")"""
# answers and times of a page: for each question the milliseconds until its first word and its end
TIMED = '''async ([turns, rounds, words]) => {
  const engine = JSON.parse(document.getElementById('state').textContent),
    worker = window.ecgenWorker,
    res = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    let first = 0, steps = 0;
    // another first word each time, so that nothing is known from the question before
    const asked = turns.map((t, n) => (n ? t : `${'abcdefghijklmnopqrstuvwxyz'[i]} ${t}`));
    const answer = await new Promise((done) => {
      worker.addEventListener('message', function hear({ data }) {
        if (data.to !== 9000 + i) return;
        if (data.text !== undefined) {
          steps += 1;
          first ||= performance.now() - start;
        }
        if (data.answer && !data.answer.partial || steps === words) {
          worker.removeEventListener('message', hear);
          done(data);
        }
      });
      worker.postMessage({ ask: 9000 + i, turns: asked, gate: 'soft' });
    });
    res.push({ first, all: performance.now() - start, steps });
    // ends what is still being written
    worker.postMessage({ ask: 1, turns: ['Hello.'], gate: 'soft' });
    await new Promise((r) => setTimeout(r, 150));
  }
  return res;
}'''
# before any script of the page: keep its worker, note long tasks and the time between frames
WATCH = '''const Plain = window.Worker;
window.Worker = class extends Plain {
  constructor(...a) {
    super(...a);
    window.ecgenWorker = this;
  }
};
window.ecgenTasks = [];
new PerformanceObserver((l) => l.getEntries().forEach((e) => window.ecgenTasks.push(e.duration)))
  .observe({ type: 'longtask', buffered: true });
window.ecgenFrames = [];
{
  let last = performance.now();
  const tick = (t) => {
    window.ecgenFrames.push(t - last);
    last = t;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}'''


def corpus():
    "Validation dialogues, and where they come from"
    from ecgen.data.files import shipped
    from ecgen.data.readers import load_split
    folder = os.environ.get('ECGEN_DATA') or ROOT.parent/'shared'/'data'
    if Path(folder).is_dir(): return load_split('valid', folder), 'validation split'
    return load_split('valid', shipped('sample')), 'sample'


def parity(n=500):
    "Does the page read, predict and answer as Python does? Exits where it does not"
    from ecgen.use.live import parity as compare
    from ecgen.use.live import some_questions, text_parity
    dialogues, name = corpus()
    said = list(dict.fromkeys(text for d in dialogues for text in d.utterances))
    other = text_parity(said)
    found = compare(some_questions(dialogues, n))
    kept = {k: v for k, v in found.items() if not k.endswith('_ms')}
    res = dict(data=name, utterances=len(said), utterances_read_otherwise=len(other), **kept)
    print(json.dumps(res, indent=1))
    same = found['same_tokens'] == found['same_responses'] == found['questions']
    apart = found['emotion_apart'], found['cause_apart'], found['gates_apart']
    close = all(x < 1e-5 for x in apart)       # NaN is not
    if other or not same or not close: sys.exit('JavaScript and Python differ.')
    return res


class Quiet(http.server.SimpleHTTPRequestHandler):
    "A server that lets the browser measure memory: such pages must be isolated from others"
    def log_message(self, *_): pass

    def end_headers(self):
        self.send_header('Cross-Origin-Opener-Policy', 'same-origin')
        self.send_header('Cross-Origin-Embedder-Policy', 'require-corp')
        super().end_headers()


@contextmanager
def served(folder):
    "The address of a server that shows a folder"
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


def context_of(tokens):
    "A dialogue of about so many tokens: sentences of ours"
    from ecgen.data.batches import encode_context
    from ecgen.data.dialogues import tokenize
    from ecgen.model.model import EmpatheticModel
    turns = [
        'My sister moved to Canada last month and the house feels so empty now that she is gone.',
        'I am sorry to hear that. You must miss her a lot.',
        'I do. We used to cook together every evening, and now I eat alone in front of the '
        'television.']
    vocab = EmpatheticModel.from_pretrained().vocab

    def length():
        ids = encode_context([tokenize(turn) for turn in turns], vocab, None)[0]
        return len(ids) + 1      # and the letter in front

    while length() < tokens:
        more = ' again.' if length() + 5 > tokens else ', and that makes me sad.'
        turns[-1] = turns[-1][:-1] + more
    return turns, length()


def python_times(turns, rounds=ROUNDS):
    "Milliseconds of a response of ten words by PyTorch"
    import torch

    from ecgen.data.batches import encode_context
    from ecgen.data.dialogues import tokenize
    from ecgen.model.decoding import Decoder, generate
    from ecgen.model.model import EmpatheticModel
    torch.set_num_threads(1)
    model = EmpatheticModel.from_pretrained()
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        ids = encode_context([tokenize(turn) for turn in turns], model.vocab, None)[0]
        src = torch.tensor([ids])
        with torch.inference_mode():
            generate(model, model.encode(src)[2], Decoder(k=1, max_new_tokens=WORDS))
        times.append(1000 * (time.perf_counter() - start))
    return times[1:]


def summary(times):
    "What is told of repeated measurements"
    return dict(
        median_ms=round(statistics.median(times), 1),
        least_ms=round(min(times), 1),
        most_ms=round(max(times), 1),
        rounds=len(times))


def private_mb(pid):
    "Private memory of a process"
    text = Path(f'/proc/{pid}/smaps_rollup').read_text()
    return sum(int(n) for n in re.findall(r'Private_\w+:\s+(\d+) kB', text)) / 1024


def read_quietly(path):
    "The bytes of a file; none where it is gone"
    try: return path.read_bytes()
    except OSError: return b''


def is_renderer(folder):
    "Is this folder of /proc that of a process that shows a page?"
    return folder.name.isdigit() and b'--type=renderer' in read_quietly(folder/'cmdline')


def renderers():
    "Numbers of the processes that show pages"
    return {int(folder.name) for folder in Path('/proc').iterdir() if is_renderer(folder)}


def settled_memory(page, before):
    "Private memory of the page's process in MB after its garbage is collected"
    page.context.new_cdp_session(page).send('HeapProfiler.collectGarbage')
    page.wait_for_timeout(3000)
    return max(map(private_mb, renderers() - before), default=None)


def new_page(browser): return browser.new_context(viewport=SIZE).new_page()


def recorded_page(browser, path):
    "What a playground without a model costs: long tasks when it opens, memory"
    from ecgen.model.model import EmpatheticModel
    from ecgen.use.playground import Playground
    Playground(EmpatheticModel.from_pretrained()).save(path)
    before = renderers()
    page = new_page(browser)
    page.add_init_script(WATCH)
    page.goto(path.as_uri())
    page.wait_for_selector(SHOWN)
    page.wait_for_timeout(1000)
    tasks = page.evaluate('ecgenTasks')
    memory = settled_memory(page, before)
    page.context.close()
    return dict(long_tasks_ms=tasks, private_memory_of_the_process_mb=memory)


def open_page(page, name, url):
    "Times until a page is shown and has answered"
    start = time.perf_counter()
    page.goto(url)
    page.wait_for_selector(SHOWN)
    shown = time.perf_counter() - start
    if name == 'http': page.click('[data-control=load]')
    page.wait_for_selector(READY)
    page.wait_for_function(ANSWERED)
    answered = time.perf_counter() - start
    ready = float(page.get_attribute('.ecgen', 'data-ready-ms'))
    return dict(page_shown_s=shown, answered_s=answered, ready_ms=ready)


def response_times(page, turns):
    "Of answers to one question that is asked again and again"
    times = page.evaluate(TIMED, [turns, ROUNDS, WORDS])
    first = statistics.median(t['first'] for t in times)
    steps = statistics.median(t['steps'] for t in times)
    return summary([t['all'] for t in times]) | dict(first_word_ms=round(first, 1), words=steps)


def smoothness(page):
    "Does the page stay alive while it writes?"
    frames = sorted(page.evaluate('ecgenFrames'))
    return dict(
        long_tasks_while_writing_ms=page.evaluate('ecgenTasks.splice(0)'),
        frame_median_ms=round(statistics.median(frames), 1),
        frame_99_percent_ms=round(frames[int(.99 * len(frames))], 1))


def live_page(browser, name, url, questions):
    "All that is measured of a page with a model"
    before = renderers()
    page = new_page(browser)
    page.set_default_timeout(120_000)
    page.add_init_script(WATCH)
    seen = open_page(page, name, url)
    seen['long_tasks_while_loading_ms'] = page.evaluate('ecgenTasks.splice(0)')
    page.wait_for_timeout(500)
    page.evaluate('ecgenFrames.length = 0')
    for key, turns in questions.items(): seen[key] = response_times(page, turns)
    seen |= smoothness(page)
    if name == 'http':
        memory = page.evaluate('performance.measureUserAgentSpecificMemory()')
        seen['memory_mb'] = memory['bytes'] / 1e6
    seen['private_memory_of_the_process_mb'] = settled_memory(page, before)
    page.context.close()
    return seen


def megabytes(path): return path.stat().st_size / 1e6


def write_pages(folder):
    "The page that holds its model, and the one with the weights beside it; their sizes"
    from ecgen.use.live import LivePlayground, write_live
    LivePlayground().save(folder/'alone.html')
    write_live(folder)
    return dict(
        self_contained_mb=megabytes(folder/'alone.html'),
        site_page_mb=megabytes(folder/'play.html'),
        weights_mb=megabytes(next(folder.glob('model-*'))))


def browser_figures(browser, folder, address, questions):
    "All that is measured in Chromium"
    res = dict(recorded_page=recorded_page(browser, folder/'recorded.html'))
    res['browser'] = browser.version
    pages = dict(file=(folder/'alone.html').as_uri(), http=f'{address}/play.html')
    for name, url in pages.items(): res[name] = live_page(browser, name, url, questions)
    return res


def speed():
    "Times and memory in Chromium, and times of Python beside them"
    from playwright.sync_api import sync_playwright
    sys.path.insert(0, str(ROOT/'tests'))
    from test_browser import FLAGS, find_browser
    long, tokens = context_of(LONG)
    questions = dict(long=long, short=long[:1])
    res = dict(context_tokens=tokens, words=WORDS)
    res |= dict(load_before=os.getloadavg()[0], cores=os.cpu_count())
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as playwright:
        folder = Path(tmp)
        res |= write_pages(folder)
        with served(folder) as address:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
            res |= browser_figures(browser, folder, address, questions)
            browser.close()
    python = {key: summary(python_times(turns)) for key, turns in questions.items()}
    res |= dict(python_one_thread=python, load_after=os.getloadavg()[0])
    print(json.dumps(res, indent=1))
    return res


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('what', choices=('parity', 'speed'))
    parser.add_argument('--check', action='store_true',
                        help='only fail if there is a difference; write nothing')
    parser.add_argument('--out', type=Path, default=OUT)
    args = parser.parse_args()
    found = dict(parity=parity, speed=speed)[args.what]()
    if args.check: return
    old = json.loads(args.out.read_text(encoding='utf-8')) if args.out.exists() else {}
    text = json.dumps(old | {args.what: found}, indent=1) + '\n'
    args.out.write_text(text, encoding='utf-8')


if __name__ == '__main__': main()
