"""Training in processes that are killed, stopped or doubled, and servers that do not answer"""
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
from helpers import read_lines, same_weights

from ecgen.data.files import EcgenError, shipped
from ecgen.training.checkpoints import checkpoint_ids
from ecgen.training.runs import train
from ecgen.training.trainer import Trainer
from ecgen.use.playground import end, wait_for


def free_port():
    "A port for two processes to meet at"
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])

def run_python(*args, processes=1):
    "Run Python, as one process or as several that train together"
    here = str(Path(sys.modules['ecgen'].__file__).parent.parent)
    path = os.pathsep.join([here, os.environ.get('PYTHONPATH', '')])
    launch = ['-m', 'torch.distributed.run', '--nproc-per-node', str(processes),
              '--master-addr', '127.0.0.1', '--master-port', free_port()]
    if processes == 1: launch = []
    env = os.environ | dict(OMP_NUM_THREADS='1', PYTHONPATH=path)
    return subprocess.run([sys.executable, *launch, *args], capture_output=True, text=True,
                          timeout=300, env=env)


@pytest.mark.slow
def test_killed_at_any_moment():
    code = """
import sys, torch
from ecgen.training.callbacks import Checkpoint
from ecgen.data.dialogues import shipped
from ecgen.training.runs import train
torch.set_num_threads(1)
Checkpoint.every = 0.           # save after every step
train('tiny', shipped('sample'), sys.argv[1], pretrain_epochs=1, epochs=1, max_tokens_per_batch=600)
print('finished')
"""
    def call(out):
        return subprocess.Popen([sys.executable, '-c', code, out], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
    def newest(out): return max(checkpoint_ids(Path(out)/'state'), default=0)
    with tempfile.TemporaryDirectory() as tmp:
        whole, part = tmp + '/whole', tmp + '/part'
        assert 'finished' in call(whole).communicate()[0]
        rng, codes = random.Random(1), []
        for goal in (1, 6, 11, 17, 10**9):      # killed soon after so many checkpoints; at last not
            p = call(part)
            while p.poll() is None and newest(part) < goal: time.sleep(.002)
            time.sleep(rng.uniform(0, .1))
            p.kill()
            p.communicate()
            codes.append(p.returncode)
        assert codes == [-9] * 4 + [0]
        for name in ('losses.jsonl', 'best/model.safetensors'):
            assert (Path(part)/name).read_bytes() == (Path(whole)/name).read_bytes()


def test_ctrl_c_finishes_the_step_and_saves():
    settings = dict(name='tiny', data=shipped('sample'), pretrain_epochs=1, epochs=1,
                    max_tokens_per_batch=300)
    with tempfile.TemporaryDirectory() as tmp:
        before, whole = signal.getsignal(signal.SIGINT), train(out=tmp + '/whole', **settings)
        real, steps, log = Trainer.train_step, [], Path(tmp)/'part/losses.jsonl'
        def interrupted(self, rows):
            steps.append(1)
            if len(steps) == 5: os.kill(os.getpid(), signal.SIGINT)
            return real(self, rows)
        with patch.object(Trainer, 'train_step', interrupted), pytest.raises(KeyboardInterrupt):
            train(out=tmp + '/part', **settings)
        assert len(read_lines(log)) == 5 and signal.getsignal(signal.SIGINT) is before
        resumed = train(out=tmp + '/part', **settings)
        assert log.read_text() == (Path(tmp)/'whole/losses.jsonl').read_text()
    assert same_weights(whole, resumed)


@pytest.mark.slow
def test_two_processes_are_one():
    pytest.importorskip('accelerate')
    settings = ['--preset', 'tiny', '--data', str(shipped('sample')), '--device', 'cpu']
    for k in ('pretrain_epochs=1', 'epochs=1', 'reasoner.dropout=0', 'generator.dropout=0'):
        settings += ['--set', k]
    with tempfile.TemporaryDirectory() as tmp:
        for n in (1, 2):
            command = '-m', 'ecgen.cli', 'train', *settings, '--out', f'{tmp}/{n}'
            done = run_python(*command, processes=n)
            assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count('On validation') == 1                  # one of them speaks
        one, two = (read_lines(Path(tmp)/n/'losses.jsonl') for n in '12')
        assert len(one) == len(two)
        for a, b in zip(one, two):
            for k in set(a) - {'stage', 'gradient'}: assert abs(a[k] - b[k]) <= 1e-5 * max(1, a[k])
        one, two = (read_lines(Path(tmp)/n/'metrics.jsonl') for n in '12')
        for a, b in zip(one, two):
            for k in ('loss', 'cause_auc'): assert abs(a[k] - b[k]) < 1e-4


@pytest.mark.slow
def test_a_stop_reaches_both_processes():
    pytest.importorskip('accelerate')
    code = """
import os, signal, sys
from ecgen.training import trainer
from ecgen.data.dialogues import shipped
from ecgen.training.runs import train
real, calls = trainer.all_reduce_gradients, []
def all_reduce_gradients(params, values):
    res = real(params, values)
    calls.append(1)             # the signal comes just after the sum that would have told the other
    first = trainer.rank_and_world_size()[0] == 0
    if len(calls) == 5 and first: os.kill(os.getpid(), signal.SIGINT)
    return res
trainer.all_reduce_gradients = all_reduce_gradients
settings = dict(pretrain_epochs=1, epochs=1, max_tokens_per_batch=600, device='cpu')
try: train('tiny', shipped('sample'), sys.argv[1], **settings)
except KeyboardInterrupt: print('stopped', flush=True)
"""
    with tempfile.TemporaryDirectory() as tmp:
        (Path(tmp)/'race.py').write_text(code)
        done = run_python(f'{tmp}/race.py', f'{tmp}/run', processes=2)
        assert done.stdout.count('stopped') == 2, done.stderr[-2000:]
        assert len(read_lines(Path(tmp)/'run/losses.jsonl')) == 6


def test_a_server_is_waited_for_and_ended():
    with subprocess.Popen([sys.executable, '-c', '0']) as done: done.wait()
    with pytest.raises(EcgenError, match='could not be started'): wait_for(9, done, 5)
    deaf_program = '''
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(1, flush=True)
time.sleep(60)
'''
    command = [sys.executable, '-c', deaf_program]
    with closing(socket.socket()) as s, subprocess.Popen(command, stdout=subprocess.PIPE) as deaf:
        s.bind(('127.0.0.1', 0))
        s.listen()
        wait_for(s.getsockname()[1], deaf, 5)
        deaf.stdout.readline()
        end(deaf, .5)                                     # it ignores SIGTERM
    assert deaf.returncode
