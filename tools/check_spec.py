#!/usr/bin/env python3
"""Each MUST in spec/ has an id ([KB-1]) that the code names and a test names; ids in code exist in spec/. A MUST that is marked (open) is listed, not counted."""
import pathlib, re, sys

root = pathlib.Path(__file__).resolve().parent.parent
ID = re.compile(r"\[([A-Z]{2}-\d+)\]")
defined, opened = {}, set()
for page in sorted((root / "spec").glob("*.md")):
    for line in page.read_text().splitlines():
        m = re.match(r"^- \[([A-Z]{2}-\d+)\]( \(open\))?", line)
        if m:
            defined[m.group(1)] = page.name
            if m.group(2):
                opened.add(m.group(1))


def named(folder):
    found = set()
    for path in (root / folder).rglob("*"):
        if path.suffix in (".c", ".h", ".sh", ".py"):
            found |= set(ID.findall(path.read_text(errors="replace")))
    return found


code, tests = named("src"), named("tests")
passed = failed = 0
for ident, page in sorted(defined.items()):
    if ident in opened:
        continue
    problems = [w for w, s in (("code", code), ("a test", tests)) if ident not in s]
    if problems:
        failed += 1
        print(f"{page} [{ident}] is not named in {' nor in '.join(problems)}")
    else:
        passed += 1
for ident in sorted((code | tests) - set(defined)):
    failed += 1
    print(f"[{ident}] is named but not in spec/")
print("open:", " ".join(sorted(opened)) or "none")
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
