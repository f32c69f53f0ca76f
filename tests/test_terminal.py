"""`ecgen chat` at a terminal, as a person types"""
import json
import os
import signal
import sys
from pathlib import Path

import pexpect

import ecgen
from ecgen.cli.testing import scratch

ENV = os.environ | dict(PYTHONPATH=str(Path(ecgen.__file__).parents[1]), TERM='xterm',
                        INPUTRC=os.devnull, PYTHONIOENCODING='utf-8')
SLOW = '''
import sys, time
from ecgen.model import decoding
from ecgen.use.chat import Chat, Session
from ecgen.model.model import EmpatheticModel
quick, wait = decoding.sample_next, float(sys.argv[2])
decoding.sample_next = lambda *args: (time.sleep(wait), quick(*args))[1]
chat = Chat(EmpatheticModel.from_pretrained(sys.argv[1]), decoder=decoding.Decoder())
Session(chat, tell=lambda t: print('ecgen:', t), color=True).run()
'''
PROMPT = r'\n(\x1b\[\?2004h)?you {7}'     # a new one; the sequence switches bracketed paste on


def terminal(wait):
    "A session in a pseudo-terminal"
    def hear_ctrl_c():      # a test run in the background ignores it, and its children would
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = ['-c', SLOW, str(scratch()/'little'), str(wait)]
    child = pexpect.spawn(sys.executable, command, env=ENV, encoding='utf-8', timeout=60,
                          dimensions=(24, 80), preexec_fn=hear_ctrl_c)
    child.delaybeforesend = .05
    child.expect('you       ')
    return child


def test_a_person_types_each_command():
    child, path = terminal(0), scratch()/'typed.jsonl'
    def enter(line, *seen):
        child.sendline(line)
        for text in seen: child.expect_exact(text)
        child.expect(PROMPT)
    enter('I am so sad.', 'response  ')
    enter('/why', 'emotion', '%')
    enter('/gate hard', 'The gate is hard.')
    enter('/undo', 'Took back "I am so sad."')
    enter('\x1b[A' * 4, 'I am so sad.', 'response  ')             # four times arrow up
    enter(f'/save {path}', 'wrote ')
    enter('/help', '/quit')
    enter('/whi', 'the commands are: /why')
    enter('I want to die', 'crisis line')
    enter('/undo', 'and its note')
    enter('sad ' * 3000, 'longer than the model can read', '2490 words were left out')
    enter('/reset', 'A new dialogue')
    child.sendline('/quit')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0 and json.loads(path.read_text())['turns'][0] == 'I am so sad.'


def test_pasting_and_ctrl_c_and_the_end_of_input():
    child = terminal(.2)
    def stop():
        child.expect_exact('response  ')
        child.expect('[a-z]')
        child.sendintr()
        child.expect_exact('Stopped; your message was taken back.')
        child.expect(PROMPT)
    child.sendline('I am so sad.')
    stop()
    child.sendline('/undo')
    child.expect_exact('nothing to undo')
    child.expect(PROMPT)
    for part in ('\x1b[200~', *['so sad\n' * 300] * 5, '\x1b[201~', '\r'): child.send(part)
    stop()                                      # 3,000 words in 1,500 lines, and one response
    child.sendeof()                             # Ctrl-D
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_ctrl_c_at_the_prompt_leaves():
    child = terminal(0)
    child.send('half a mess')
    child.expect_exact('mess')
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0 and 'Traceback' not in child.before


def test_chat_greets_at_a_terminal():
    command = ['-m', 'ecgen.cli', 'chat', '--model', str(scratch()/'little')]
    child = pexpect.spawn(sys.executable, command, env=ENV, encoding='utf-8', timeout=60)
    dialogue = ('', 'no counsellor'), ('so sad', 'response  '), ('/whi', 'ecgen: There is no /whi')
    for line, answer in dialogue:
        if line: child.sendline(line)
        child.expect_exact(answer)
        child.expect('you {7}')
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
