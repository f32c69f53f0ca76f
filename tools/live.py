"""Parity and speed of the model in the page: `python tools/live.py parity|speed [--out FILE]`; both write data/results/live.json.

parity: JavaScript (node) against Python: words of all validation utterances, responses to 500 contexts with all kinds of gates.
speed: Chromium with the self-contained page and with the weights beside a page; Python on one thread beside it.
Without the corpus (ECGEN_DATA) the sample takes its place, which the file then says.
"""
import argparse, functools, http.server, json, os, re, statistics, sys, tempfile, threading, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OUT = ROOT/'data'/'results'/'live.json'
WORDS = 10          # of a response
ROUNDS = 31
LONG = 70           # tokens of a context


def corpus():
    "Validation dialogues, and where they come from"
    from ecgen.data.readers import load_split
    from ecgen.data.files import shipped
    folder = os.environ.get('ECGEN_DATA') or ROOT.parent/'shared'/'data'
    if Path(folder).is_dir(): return load_split('valid', folder), 'validation split'
    return load_split('valid', shipped('sample')), 'sample'


def parity(n=500):
    from ecgen.use.live import parity as compare, some_questions, text_parity
    dialogues, name = corpus()
    said = list(dict.fromkeys(u for d in dialogues for u in d.utterances))
    other = text_parity(said)
    res = compare(some_questions(dialogues, n))
    good = not other and res['same_tokens'] == res['same_responses'] == res['questions']
    close = max(res['emotion_apart'], res['cause_apart'], res['gates_apart']) < 1e-5
    res = dict(data=name, utterances=len(said), utterances_read_otherwise=len(other), **{k: v for k, v in res.items() if not k.endswith('_ms')})
    print(json.dumps(res, indent=1))
    if not (good and close): sys.exit('JavaScript and Python differ.')
    return res


class Quiet(http.server.SimpleHTTPRequestHandler):
    "A server that lets the browser measure memory: such pages must be isolated from others"
    def log_message(self, *_): pass
    def end_headers(self):
        for k, v in (('Cross-Origin-Opener-Policy', 'same-origin'), ('Cross-Origin-Embedder-Policy', 'require-corp')): self.send_header(k, v)
        super().end_headers()


# answers and times of a page: for each question the milliseconds until its first word and until its end
TIMED = '''async ([turns, rounds, words]) => {
  const engine = JSON.parse(document.getElementById('state').textContent), worker = window.ecgenWorker, res = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    let first = 0, steps = 0;
    // another first word each time, so that nothing is known from the question before
    const asked = turns.map((t, n) => (n ? t : `${'abcdefghijklmnopqrstuvwxyz'[i]} ${t}`));
    const answer = await new Promise((done) => {
      worker.addEventListener('message', function hear({ data }) {
        if (data.to !== 9000 + i) return;
        if (data.text !== undefined) { steps += 1; first ||= performance.now() - start; }
        if (data.answer && !data.answer.partial || steps === words) { worker.removeEventListener('message', hear); done(data); }
      });
      worker.postMessage({ ask: 9000 + i, turns: asked, gate: 'soft' });
    });
    res.push({ first, all: performance.now() - start, steps });
    worker.postMessage({ ask: 1, turns: ['Hello.'], gate: 'soft' }); // ends what is still being written
    await new Promise((r) => setTimeout(r, 150));
  }
  return res;
}'''
# before any script of the page: keep its worker, note long tasks and the time between frames
WATCH = '''const Plain = window.Worker;
window.Worker = class extends Plain { constructor(...a) { super(...a); window.ecgenWorker = this; } };
window.ecgenTasks = []; new PerformanceObserver((l) => l.getEntries().forEach((e) => window.ecgenTasks.push(e.duration))).observe({ type: 'longtask', buffered: true });
window.ecgenFrames = []; { let last = performance.now(); const tick = (t) => { window.ecgenFrames.push(t - last); last = t; requestAnimationFrame(tick); }; requestAnimationFrame(tick); }'''


def context_of(tokens):
    "A dialogue of about so many tokens: sentences of ours"
    from ecgen.data.batches import encode_context
    from ecgen.data.dialogues import tokenize
    from ecgen.model.model import EmpatheticModel
    turns = ['My sister moved to Canada last month and the house feels so empty now that she is gone.', 'I am sorry to hear that. You must miss her a lot.',
             'I do. We used to cook together every evening, and now I eat alone in front of the television.']
    vocab = EmpatheticModel.from_pretrained().vocab
    def length(t): return len(encode_context([tokenize(u) for u in t], vocab, None)[0]) + 1      # and the letter in front
    while length(turns) < tokens: turns[-1] = turns[-1][:-1] + (' again.' if length(turns) + 5 > tokens else ', and that makes me sad.')
    return turns, length(turns)


def python_times(turns, rounds=ROUNDS):
    "Milliseconds of a response of ten words by PyTorch"
    import torch
    from ecgen.data.batches import encode_context
    from ecgen.data.dialogues import tokenize
    from ecgen.model.decoding import Decoder, generate
    from ecgen.model.model import EmpatheticModel
    torch.set_num_threads(1)
    m, res = EmpatheticModel.from_pretrained(), []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        src = torch.tensor([encode_context([tokenize(u) for u in turns], m.vocab, None)[0]])
        with torch.inference_mode(): generate(m, m.encode(src)[2], Decoder(k=1, max_new_tokens=WORDS))
        res.append(1000 * (time.perf_counter() - start))
    return res[1:]


def summary(times): return dict(median_ms=round(statistics.median(times), 1), least_ms=round(min(times), 1), most_ms=round(max(times), 1), rounds=len(times))


def private_mb(pid):
    "Private memory of a process"
    text = Path(f'/proc/{pid}/smaps_rollup').read_text()
    return sum(int(n) for n in re.findall(r'Private_\w+:\s+(\d+) kB', text)) / 1024


def renderers(): return {int(p.name): (p/'cmdline').read_bytes() for p in Path('/proc').iterdir() if p.name.isdigit() and b'--type=renderer' in read_quietly(p/'cmdline')}


def read_quietly(path):
    try: return path.read_bytes()
    except OSError: return b''


def settled_memory(page, before):
    "Private memory of the page's process in MB after its garbage is collected"
    page.context.new_cdp_session(page).send('HeapProfiler.collectGarbage')
    page.wait_for_timeout(3000)
    return max(map(private_mb, set(renderers()) - before), default=None)


def recorded_page(browser, path):
    "What a playground without a model costs: long tasks when it opens, memory"
    from ecgen.model.model import EmpatheticModel
    from ecgen.use.playground import Playground
    Playground(EmpatheticModel.from_pretrained()).save(path)
    before, page = set(renderers()), browser.new_context(viewport=dict(width=1100, height=1000)).new_page()
    page.add_init_script(WATCH)
    page.goto(path.as_uri())
    page.wait_for_selector('.ecgen[data-draws]')
    page.wait_for_timeout(1000)
    res = dict(long_tasks_ms=page.evaluate('ecgenTasks'), private_memory_of_the_process_mb=settled_memory(page, before))
    page.context.close()
    return res


def speed():
    from playwright.sync_api import sync_playwright
    sys.path.insert(0, str(ROOT/'tests'))
    from test_browser import FLAGS, find_browser
    from ecgen.use.live import LivePlayground, write_live
    long, tokens = context_of(LONG)
    short = long[:1]
    res = dict(context_tokens=tokens, words=WORDS, load_before=os.getloadavg()[0], cores=os.cpu_count())
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as p:
        LivePlayground().save(Path(tmp)/'alone.html')
        write_live(tmp)
        res['self_contained_mb'] = (Path(tmp)/'alone.html').stat().st_size / 1e6
        res['site_page_mb'], res['weights_mb'] = (Path(tmp)/'play.html').stat().st_size / 1e6, next(Path(tmp).glob('model-*')).stat().st_size / 1e6
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=tmp))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        b = p.chromium.launch(executable_path=find_browser(), args=FLAGS)
        res['recorded_page'] = recorded_page(b, Path(tmp)/'recorded.html')
        res['browser'] = b.version
        for name, url in dict(file=(Path(tmp)/'alone.html').as_uri(), http=f'http://127.0.0.1:{server.server_port}/play.html').items():
            before = set(renderers())
            page = b.new_context(viewport=dict(width=1100, height=1000)).new_page()
            page.set_default_timeout(120_000)
            page.add_init_script(WATCH)
            start = time.perf_counter()
            page.goto(url)
            page.wait_for_selector('.ecgen[data-draws]')
            seen = dict(page_shown_s=time.perf_counter() - start)
            if name == 'http': page.click('[data-control=load]')
            page.wait_for_selector('.ecgen[data-ready-ms]')
            page.wait_for_function('() => document.querySelector(".ecgen").dataset.busy === "false" && document.querySelector(".ecgen-response [data-word]")')
            seen |= dict(answered_s=time.perf_counter() - start, ready_ms=float(page.get_attribute('.ecgen', 'data-ready-ms')))
            seen['long_tasks_while_loading_ms'] = page.evaluate('ecgenTasks.splice(0)')
            page.wait_for_timeout(500)
            page.evaluate('ecgenFrames.length = 0')
            for key, turns in dict(long=long, short=short).items():
                times = page.evaluate(TIMED, [turns, ROUNDS, WORDS])
                seen[key] = summary([t['all'] for t in times]) | dict(first_word_ms=round(statistics.median(t['first'] for t in times), 1), words=statistics.median(t['steps'] for t in times))
            frames = sorted(page.evaluate('ecgenFrames'))
            seen |= dict(long_tasks_while_writing_ms=page.evaluate('ecgenTasks.splice(0)'), frame_median_ms=round(statistics.median(frames), 1), frame_99_percent_ms=round(frames[int(.99 * len(frames))], 1))
            if name == 'http': seen['memory_mb'] = page.evaluate('performance.measureUserAgentSpecificMemory()')['bytes'] / 1e6
            seen['private_memory_of_the_process_mb'] = settled_memory(page, before)
            res[name] = seen
            page.context.close()
        b.close()
        server.shutdown()
    res |= dict(python_one_thread=dict(long=summary(python_times(long)), short=summary(python_times(short))), load_after=os.getloadavg()[0])
    print(json.dumps(res, indent=1))
    return res


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('what', choices=('parity', 'speed'))
    a.add_argument('--check', action='store_true', help='only fail if there is a difference; write nothing')
    a.add_argument('--out', type=Path, default=OUT)
    args = a.parse_args()
    found = dict(parity=parity, speed=speed)[args.what]()
    if args.check: return
    old = json.loads(args.out.read_text(encoding='utf-8')) if args.out.exists() else {}
    args.out.write_text(json.dumps(old | {args.what: found}, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__': main()
