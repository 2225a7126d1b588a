"""Interrupts a command: interrupt.py SIGNAL:DELAY[,...] COMMAND...

Runs it once for each, and sends the signal DELAY seconds after the program has begun to take it.
Input stays open, and output is not read, meanwhile. @ in an argument is another number each time.
Prints a line for each run: the status as a shell has it, the
number of lines on standard error, and these.
"""
import os
import signal
import subprocess
import sys
import time


def takes(pid, number):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith("SigCgt:"):
                return int(line.split()[1], 16) >> (number - 1) & 1
    return True  # it has ended


def run(name, delay, command):
    number = getattr(signal, "SIG" + name)
    signal.signal(number, signal.SIG_DFL)  # a shell has its background jobs ignore some
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    while child.poll() is None and not takes(child.pid, number):
        time.sleep(0.0005)
    given = os.environ.get("GIVEN")
    if given:  # a file whose bytes come in, without an end
        with open(given, "rb") as f:
            child.stdin.write(f.read())
            child.stdin.flush()
    time.sleep(delay)
    child.send_signal(number)
    status = None
    try:
        code = child.wait(120)
        status = code if code >= 0 else 128 - code
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    said = child.stderr.read().decode()
    print(status, said.count("\n"), said.replace("\n", "\\n"))


for i, when in enumerate(sys.argv[1].split(",")):
    name, delay = when.split(":")
    run(name, float(delay), [a.replace("@", "%d.%d" % (os.getpid(), i)) for a in sys.argv[2:]])
