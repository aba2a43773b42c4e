#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""
branches.py FILE [PERCENT]: of a report of gcovr's, the lines of the engines with branches
that were never taken, and how many.  Fails if less than PERCENT of the engines' branches
were.
"""

import json
import os
import sys

ENGINES = ('tlsf', 'evl', 'mi_')


def missing(line):
    """The branches of the line that were never taken."""
    return sum(1 for branch in line['branches'] if not branch['count'])


def read_source(name):
    """The lines of a file of the module's."""
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    with open(os.path.join(top, name), encoding='utf-8') as file:
        return file.read().splitlines()


def main():
    """Print file:line, the number of branches, and the source's line; then the sum."""
    with open(sys.argv[1], encoding='utf-8') as file:
        report = json.load(file)
    branches = never = 0
    for entry in report['files']:
        name = entry['file']
        if not name.startswith(ENGINES):
            continue
        source = read_source(name)
        for line in entry['lines']:
            branches += len(line['branches'])
            never += missing(line)
            if missing(line):
                number = line['line_number']
                print(f'{name}:{number}: {missing(line)}: '
                      f'{source[number - 1].strip()}')
    percent = 100 * (branches - never) / branches if branches else 0
    print(f'{branches - never} of {branches} branches of the engines taken: {percent:.1f} %')
    if len(sys.argv) > 2 and percent < float(sys.argv[2]):
        sys.exit(f'branches.py: less than {sys.argv[2]} %')


if __name__ == '__main__':
    main()
