"""Grids of experiments and benches, run as commands; trainings that go astray"""
import functools
import json
import math
import os
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest

from ecgen.cli.measure import RESULTS, RUNS, experiment_folders, is_trial
from ecgen.cli.testing import refused, run, scratch
from ecgen.data.files import EcgenError, shipped
from ecgen.evaluation.experiments import Run, do_run
from ecgen.training import trainer
from ecgen.training.bench import bench_memory
from ecgen.training.prepared import prepare
from ecgen.training.runs import train
from ecgen.training.trainer import multitask_loss


@functools.cache
def smoke_grid():
    "Options of a grid of smoke runs whose rows have been run; results lie beside it"
    grid = ('--data', shipped('sample'), '--seeds', '1,2', '--budget', 'smoke',
            '--out', '{tmp}/grid')
    r = run('experiment', 'run', 'soft', 'without-cause', *grid)
    assert r.exit_code == 0 and '4 runs, 0 of them done' in r.stdout
    assert '[4/4] without-cause-none-seed2: accuracy' in r.stdout
    r = run('experiment', 'run', 'main', *grid, '--jobs', 2)
    assert r.exit_code == 0 and '6 runs, 4 of them done' in r.stdout and '[2/2]' in r.stdout
    return grid


@pytest.mark.slow
def test_experiments_go_on_and_have_a_status():
    r = run('experiment', 'status', 'main', 'open', *smoke_grid())
    assert r.exit_code == 0 and r.stdout.count('  done  ') == 6 and r.stdout.count('not run') == 2
    r = run('experiment', 'status', 'soft', '--vectors', 'some.300d', *smoke_grid())
    assert r.exit_code == 0 and 'not run' in r.stdout and 'seeds 1, 2' in r.stdout
    assert 'soft: finished with vectors none, budget smoke' in r.stdout
    assert experiment_folders('laptop', None, None) == (RUNS, RESULTS)
    assert experiment_folders('night', None, None) == (RUNS/'night', RESULTS/'night')
    assert experiment_folders('smoke', None, None) == (RUNS/'smoke', RUNS/'smoke-results')
    assert experiment_folders('laptop', None, None, True) == (RUNS, Path(f'{RUNS}-results'))
    assert is_trial(Path('nowhere'), 40) and not is_trial(Path('nowhere'), None)
    assert is_trial(shipped('sample'), None)
    assert experiment_folders('night', Path('x/y'), None) == (Path('x/y'), Path('x/y-results'))
    assert experiment_folders('night', Path('x/y'), Path('z')) == (Path('x/y'), Path('z'))


@pytest.mark.slow
def test_experiments_make_tables():
    smoke_grid()
    results = '--results', '{tmp}/grid-results'
    r = run('experiment', 'table', 'main', 'open', *results, '--metric', 'bleu4')
    assert r.exit_code == 0 and 'smoke run' in r.stdout and '| ours, validation' in r.stdout
    assert '1.774 ± 0.063' in r.stdout and r.stdout.count('not run') == 1
    assert '<sup>' not in run('experiment', 'table', 'table2', 'table4', *results).stdout
    r = run('experiment', 'table', 'table2', '--each', *results)
    assert r.exit_code == 0 and '| MIME' in r.stdout and '| soft   | 1 ' in r.stdout
    assert 'word vectors `none`' in r.stdout
    only = scratch()/'only'
    only.mkdir()
    for p in (scratch()/'grid-results').glob('[sh]*'): (only/p.name).write_bytes(p.read_bytes())
    r = run('experiment', 'table', 'main', '--results', only, '--metric', 'bleu4')
    assert 'minus soft' in r.stdout


@pytest.mark.slow
def test_away_from_a_checkout_the_shipped_results_are_read():
    here = os.getcwd()
    os.chdir(scratch())
    try:
        assert 'word vectors' in run('experiment', 'table', 'main', '--metric', 'bleu4').stdout
        assert 'moel' not in run('experiment', 'table', 'main').stdout
        assert run('experiment', 'status', 'main').exit_code == 0
    finally: os.chdir(here)


def test_one_experiment_is_run_and_shown_and_bad_ones_are_refused():
    grid = ('--data', shipped('sample'), '--seeds', '1', '--budget', 'smoke', '--out', '{tmp}/one')
    results = '--results', '{tmp}/one-results'
    r = run('experiment', 'run', 'without-cause', *grid)
    assert r.exit_code == 0 and '[1/1] without-cause-none-seed1: accuracy' in r.stdout
    r = run('experiment', 'status', 'main', *grid)
    assert r.exit_code == 0 and r.stdout.count('  done  ') == 1 and r.stdout.count('not run') == 2
    r = run('experiment', 'table', 'main', *results, '--metric', 'bleu4')
    assert r.exit_code == 0 and 'smoke run' in r.stdout and r.stdout.count('not run') == 2
    refused('another budget', 'experiment', 'run', 'without-cause', *grid, '--examples', 50)
    refused('no row or grid', 'experiment', 'run', 'sofd', *grid)
    refused('whole numbers', 'experiment', 'status', '--seeds', 'many')
    refused('no word vectors', 'experiment', 'run', *grid, '--vectors', 'glove')
    refused('choose one of: emotion_accuracy', 'experiment', 'table', *results, '--metric', 'rouge')


@pytest.mark.slow
def test_bench_measures_and_keeps():
    kept = scratch()/'bench.json'
    small = [dict(batch=1, words=2, context=3, heads=1, head_dim=4)]
    with patch('ecgen.cli.measure.SHAPES', small):
        r = run('bench', 'attention', '--rounds', 1, '--json', kept)
    assert r.exit_code == 0 and 'fixed' in r.stdout
    assert json.loads(kept.read_text())['rows'][0]['ratio'] > 0
    tiny = '--preset', 'tiny', '--data', shipped('sample')
    r = run('bench', *tiny, '--rounds', 1, '--steps', 1, '--against', 'naive',
            '--json', kept, '--overwrite')
    figures = json.loads(kept.read_text())
    assert r.exit_code == 0 and 'times as fast' in r.stdout
    assert f'{figures["train_examples_per_s"]:,.1f} examples/s' in r.stdout
    assert set(figures['responses_per_s']) == {'1', '32', '256'}
    r = run('bench', 'memory', *tiny, '--steps', 100)
    assert r.exit_code == 0 and '100 steps' in r.stdout
    refused('no bench', 'bench', 'speed')
    refused('no form to compare with', 'bench', '--against', 'others')


def smoke(row='soft', seed=1, **more): return Run(row, None, seed, 'smoke', **more)

def try_run(run, folder):
    "Do a run on the sample"
    return do_run(run, shipped('sample'), f'{folder}/runs', f'{folder}/results')


@pytest.mark.slow
def test_a_broken_run_goes_on():
    class Break(Exception): pass
    with tempfile.TemporaryDirectory() as tmp:
        whole = try_run(smoke(seed=2), f'{tmp}/a')
        finish, left = trainer.finish_epoch, [3]
        def stop(*args, **kwargs):
            left[0] -= 1
            if not left[0]: raise Break
            return finish(*args, **kwargs)
        with patch.object(trainer, 'finish_epoch', stop), pytest.raises(Break):
            try_run(smoke(seed=2), f'{tmp}/b')
        assert Path(f'{tmp}/b/runs/soft-none-seed2/state').is_dir()
        assert not Path(f'{tmp}/b/results').exists()
        with pytest.raises(EcgenError, match='other settings or data'):
            try_run(smoke(seed=2, examples=50), f'{tmp}/b')
        rest = try_run(smoke(seed=2), f'{tmp}/b')
    assert rest['weights'] == whole['weights'] and rest['metrics'] == whole['metrics']


@pytest.mark.slow
def test_memory_stays_flat():
    r = bench_memory(steps=600, say=lambda line: None)
    assert max(r['after_mb'][2:]) - min(r['after_mb'][2:]) < 30 and r['examples'] > 100


@pytest.mark.slow
def test_a_run_that_goes_astray_stops_before_the_step():
    settings = dict(name='tiny', data=shipped('sample'), pretrain_epochs=1, epochs=1,
                    max_tokens_per_batch=100)
    seen = []
    def bad(worth, at):
        "A loss that is multiplied in one step"
        def loss(*args):
            seen.append(1)
            parts = multitask_loss(*args)
            return parts | dict(loss=parts['loss'] * worth) if len(seen) == at else parts
        return loss
    one_batch, too_fast = 'Only this batch', 'Train with a lower rate'
    cases = ((math.nan, 3, one_batch), (math.inf, 3, one_batch), (1e38, 2, one_batch),
             (100., 55, too_fast), (math.nan, 1, too_fast))
    known = {(e.id, e.turn) for e in prepare(shipped('sample')).train}
    for worth, at, advice in cases:
        seen.clear()
        with tempfile.TemporaryDirectory() as tmp:
            with patch.object(trainer, 'multitask_loss', bad(worth, at)):
                with pytest.raises(EcgenError, match=f'step was not taken. {advice}'):
                    train(out=tmp, **settings)
            stopped = json.loads((Path(tmp)/'stopped.json').read_text())['batch']
            assert stopped and all((x['id'], x['turn']) in known for x in stopped)
            train(out=tmp, **settings)           # it was chance: the same command goes on
