"""table.py RESULTS [--write]: prints the attack book's table from what the scripts wrote, and holds the tables in THREATS.md (each attack) and README.md (each row) to it:
the same attacks with the same verdicts. --write puts them there first; its figures are then those of this run. What this user could not try is not compared."""
import json, os, re, sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
ORDER = ("refused", "made costly", "openly not prevented", "not built")
BEGIN, END = "<!-- attack book: written by `./attack --write` -->", "<!-- attack book: end -->"


def place(result):
    return -"AL".index(result["row"][0]), int(result["row"][1:]), result["demand"]


def cell(text):
    return " ".join(text.replace("|", "\\|").split())


def each(results):
    """THREATS.md's table."""
    lines = ["| row | what was tried | what came out | verdict |", "|---|---|---|---|"]
    return lines + [f"| {r['row']} | {cell(r['tried'])} | {cell(r['out'])} | {r['verdict']} |" for r in results]


def rows(results):
    """README.md's table: a line for each demand and each attacker."""
    seen = {}
    for r in results:
        seen.setdefault((r["row"], r["demand"]), []).append(r["verdict"])
    lines = ["| row | demand, or attacker | attacks |", "|---|---|---|"]
    for (row, demand), verdicts in seen.items():
        counts = [(verdicts.count(v), v) for v in sorted(set(verdicts), key=lambda v: ORDER.index(v) if v in ORDER else 9)]
        lines.append(f"| {row} | {cell(demand)} | {', '.join(f'{n} {v}' for n, v in counts)} |")
    return lines


def between(name):
    text = open(os.path.join(ROOT, name)).read()
    found = re.search(re.escape(BEGIN) + r"\n(.*?)\n?" + re.escape(END), text, re.S)
    return text, found


def compare(results):
    """Passed and failed: one for each attack that was tried, one for README's lines."""
    passed = failed = 0
    _, threats = between("THREATS.md")
    said = {}
    for line in (threats.group(1).splitlines() if threats else [])[2:]:
        row, tried, _, verdict = (part.strip() for part in re.split(r"(?<!\\)\|", line)[1:5])
        said[row, tried] = verdict
    tried = {(r["row"], cell(r["tried"])): r["verdict"] for r in results}
    for key in sorted(set(said) | set(tried)):
        good = tried.get(key) == "skipped" or said.get(key) == tried.get(key)
        passed, failed = passed + good, failed + (not good)
        if not good:
            print(f"FAILED: {' '.join(key)}: THREATS.md says {said.get(key, 'nothing')}, the run says {tried.get(key, 'nothing')}: ./attack --write, and mend the text around it")
    _, readme = between("README.md")
    if all(r["verdict"] != "skipped" for r in results):
        good = bool(readme) and readme.group(1).splitlines() == rows(results)
        passed, failed = passed + good, failed + (not good)
        if not good:
            print("FAILED: README.md's table of the attack book is another than this run's: ./attack --write")
    return passed, failed


def write(results):
    for name, lines in (("THREATS.md", each(results)), ("README.md", rows(results))):
        text, found = between(name)
        if not found:
            sys.exit(f"{name}: no place for the table: {BEGIN}")
        with open(os.path.join(ROOT, name), "w") as out:
            out.write(text[:found.start()] + BEGIN + "\n" + "\n".join(lines) + "\n" + END + text[found.end():])


results = sorted((json.loads(line) for line in open(sys.argv[1])), key=place)
for r in results:
    print(f"{r['row']:<4} {r['verdict']:<21} {r['tried']}")
print()
for line in rows(results)[2:]:
    row, demand, verdicts = (part.strip() for part in line.split("|")[1:4])
    print(f"{row:<4} {demand[:78]:<79} {verdicts}")
print()
for said in (*ORDER, "GOT THROUGH"):
    print(f"figure: attacks of the letter, {said.lower()} = {sum(r['verdict'] == said for r in results)} of {len(results)}")
if "--write" in sys.argv[2:]:
    if any(r["verdict"] not in ORDER for r in results):
        sys.exit("not written: an attack got through, proves nothing or was skipped (run it as root)")
    write(results)
passed, failed = compare(results)
print(f"{passed} passed, {failed} failed")
