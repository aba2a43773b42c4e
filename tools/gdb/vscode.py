#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Debugs a guest as VS Code would: gdb/MI, with the commands of .vscode/launch.json.

    tools/gdb/vscode.py PORT

The order is that of the debugger that "cppdbg" stands for: setupCommands,
customLaunchSetupCommands, breakpoints, continue; then what its windows show.
Prints a line for each result."""

import json
import os
import re
import subprocess
import sys

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
# What cppdbg knows, of its schema.
KNOWN = {"name", "type", "request", "preLaunchTask", "program", "cwd", "targetArchitecture",
         "MIMode", "miDebuggerPath", "miDebuggerServerAddress", "setupCommands",
         "customLaunchSetupCommands", "launchCompleteCommand", "unknownBreakpointHandling"}
REQUIRED = {"name", "type", "request", "program", "MIMode"}


def read_json(name):
    with open(os.path.join(TOP, ".vscode", name), encoding="utf-8") as text:
        return json.load(text)


def fail(text):
    print("FAIL", text)
    sys.exit(1)


def configuration():
    config = read_json("launch.json")["configurations"][0]
    if config["type"] != "cppdbg" or set(config) - KNOWN or REQUIRED - set(config):
        fail(f"launch.json: not what cppdbg knows: {sorted(set(config) ^ KNOWN)}")
    tasks = {task["label"]: task for task in read_json("tasks.json")["tasks"]}
    task = tasks.get(config["preLaunchTask"]) or fail("tasks.json has no such task")
    if not os.access(os.path.join(TOP, task["command"]), os.X_OK) or not task["isBackground"]:
        fail(f"tasks.json: {task['command']} cannot be run in the background")
    return config


def resolve(text, port):
    return text.replace("${workspaceFolder}", TOP).replace("1234", port)


class Debugger:
    def __init__(self, path):
        self.gdb = subprocess.Popen([path, "-nx", "--interpreter=mi"], text=True, cwd=TOP,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT)
        self.stopped = None

    def line(self):
        line = self.gdb.stdout.readline()
        if not line:
            fail("gdb has ended")
        if line.startswith("*stopped"):
            self.stopped = line
        return line

    def command(self, text):
        """Returns what the console was told, and the result."""
        self.gdb.stdin.write(text + "\n")
        self.gdb.stdin.flush()
        said = ""
        while True:
            line = self.line()
            if line.startswith("~"):
                said += json.loads(line[1:])
            if line.startswith("^error"):
                fail(f"{text}: {line}")
            if line.startswith("^running"):
                self.stopped = None
            if line.startswith("^"):
                return said, line

    def console(self, text):
        if text.startswith("-"):
            return self.command(text)[0]
        return self.command("-interpreter-exec console " + json.dumps(text))[0]

    def wait(self, reason):
        while not self.stopped:
            self.line()
        if f'reason="{reason}"' not in self.stopped:
            fail(f"stopped, but not for {reason}: {self.stopped}")


def line_of(name, text):
    with open(os.path.join(TOP, name), encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if text in line:
                return number
    fail(f"{name} has no line {text}")


def number(name, text):
    return re.search(f'{name}="([0-9]+)"', text).group(1)


def must(what, pattern, text):
    if not re.search(pattern, text, re.S):
        fail(f"{what}: nothing like {pattern} in:\n{text}")
    print("ok", what)


def main():
    port = sys.argv[1]
    config = configuration()
    debugger = Debugger(config["miDebuggerPath"])
    for command in config["setupCommands"]:
        debugger.console(resolve(command["text"], port))
    debugger.console("set pagination off")
    for command in config["customLaunchSetupCommands"]:
        debugger.console(resolve(command["text"], port))
    # It has stopped for no reason: then the debugger that this is goes on.
    must("it waits at the first instruction", 'addr="0x0*40000000"', debugger.stopped)

    # The editor names files by where they are, and wants to be told so.
    header = os.path.join(TOP, "tlsf_core.h")
    line = line_of("tlsf_core.h", "key = tlsf_key_up(max(want, TLSF_MIN_SIZE), &size);")
    debugger.command(f"-break-insert -f {header}:{line}")
    debugger.command("-exec-continue")
    debugger.wait("breakpoint-hit")
    frames = debugger.command("-stack-list-frames 0 20")[1]
    # What it inlines may be where its line begins.
    level = frames[:frames.index('func="tlsf_alloc_fast"')].count("frame={") - 1
    must("a breakpoint in a line of tlsf_core.h is hit",
         f'level="{level}",addr="[^"]*",func="tlsf_alloc_fast",file="[^"]*",fullname="{re.escape(header)}",line="{line}"', frames)
    must("the call stack goes on to the client", 'func="chaos_alloc".*fullname="' +
         re.escape(os.path.join(TOP, "samples/chaos_replay.c")), frames)
    must("arguments are shown", r'name="size",[^}]*value="\d+"',
         debugger.command("-stack-list-arguments --simple-values 0 3")[1])
    at = f"--thread {number('thread-id', debugger.stopped)} --frame {level}"
    must("expressions are shown", 'value="0x[0-9a-f]+ .*tlsf',
         debugger.command(f'-data-evaluate-expression {at} heap->engine->name')[1])
    must("variables unfold", 'numchild="[1-9]', debugger.command(f"-var-create {at} - * *heap")[1])
    debugger.command("-break-delete")
    debugger.command("-exec-next")
    debugger.wait("end-stepping-range")
    print("ok a step")
    must("the debug console takes our commands", "default +tlsf", debugger.console("chaos-heaps"))
    debugger.console("kill")


main()
