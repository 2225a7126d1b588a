#!/usr/bin/env python3
"""Makes a tree of files like that of a large program in C, always the same one:

    make_tree.py DIRECTORY [FILES]      (10000)

Sizes are log-normal: half of the files are below 5 KiB, the mean is 13 KiB, the largest is 1 MiB.
Directories lie up to 7 deep, with 16 files on average. The text is made of words, so it compresses
like source. All times are the same. Standard library only.
"""
import os
import random
import sys

MEDIAN, SIGMA, LARGEST = 5 << 10, 1.4, 1 << 20
FILES_IN_DIRECTORY, DEPTH = 16, 7
SUFFIXES = [".c"] * 10 + [".h"] * 7 + ["", ".txt", ".rst", ".sh"]
TIME = 1_700_000_000


def make_lines(rng, count):
    letters = "eeetttaaoinnsrhlducmfpgwybvk"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(2000)]
    words += ["if", "return", "struct", "int", "static", "const", "for", "NULL", "size_t"] * 30
    glue = [" ", " ", " ", "(", ", ", "->", " = ", " + ", "_", ".", "; ", ") "]
    lines = []
    for _ in range(count):
        line = "\t" * rng.randint(0, 3)
        for _ in range(rng.randint(0, 9)):
            line += rng.choice(words) + rng.choice(glue)
        lines.append(line + rng.choice([";\n", " {\n", "\n", "}\n"]))
    return lines


def make_directories(rng, root, count):
    """Directories under `root`, each below one made before it: most lie 4 to 6 deep."""
    made = [(root, 0)]
    while len(made) < count:
        above, depth = rng.choice(made)
        if depth < DEPTH:
            made.append((f"{above}/d{len(made):03d}", depth + 1))
    return [path for path, _ in made]


def make_text(rng, lines, size):
    start, text, got = rng.randrange(len(lines)), [], 0
    while got < size:
        line = lines[start % len(lines)]
        text.append(line)
        got += len(line)
        start += rng.choice([1, 1, 1, 7])
    return "".join(text)[:size]


def main():
    root = sys.argv[1]
    files = int(sys.argv[2]) if len(sys.argv) > 2 else 10000
    rng = random.Random(15)
    lines = make_lines(rng, 1500)
    directories = make_directories(rng, root, max(1, files // FILES_IN_DIRECTORY))
    for path in directories:
        os.makedirs(path)
    for number in range(files):
        size = min(LARGEST, int(rng.lognormvariate(0, SIGMA) * MEDIAN))
        path = f"{rng.choice(directories)}/file{number}{rng.choice(SUFFIXES)}"
        with open(path, "w", encoding="ascii") as file:
            file.write(make_text(rng, lines, size))
        os.chmod(path, 0o755 if path.endswith(".sh") else 0o644)
        os.utime(path, (TIME, TIME))
    for path in reversed(directories):
        os.utime(path, (TIME, TIME))


if __name__ == "__main__":
    main()
