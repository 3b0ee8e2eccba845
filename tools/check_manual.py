#!/usr/bin/env python3
"""Each verb, option and exit status of `holdfast --help` is in the manual, the manual names no other, and it formats without a warning. check_manual.py BUILD"""
import pathlib, re, subprocess, sys

root = pathlib.Path(__file__).resolve().parent.parent
page = root / "man" / "holdfast.1"
text = page.read_text().replace("\\-", "-")
text = re.sub(r"\\f[BIR]", "", text)
help_text = subprocess.run([f"{sys.argv[1]}/src/holdfast", "--help"], capture_output=True, text=True, check=True).stdout
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
passed = failed = 0


def verdict(good, what):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print("manual:", what)


sections = dict(zip(re.findall(r"^\.SH (.*)$", text, re.M), re.split(r"^\.SH .*$", text, flags=re.M)[1:]))
verbs = re.findall(r"^holdfast ([a-z]+)", help_text, re.M)
for verb in verbs:
    verdict(re.search(rf"^{verb}\b", sections["VERBS"], re.M), f"verb {verb} is missing")
for verb in re.findall(r"^\.TP\n([a-z]+)", sections["VERBS"], re.M):
    verdict(verb in verbs, f"{verb} is no verb")
offered = set(OPTION.findall(help_text)) | {"--help", "--version"}
for option in sorted(offered | set(OPTION.findall(text))):
    verdict(option in OPTION.findall(text), f"{option} is missing")
    verdict(option in offered, f"{option} is no option")
for number, meaning in re.findall(r"(\d) ([a-z][a-z ]+)", help_text[help_text.index("Exit:"):]):
    verdict(f"{number} {meaning.strip()}" in " ".join(sections["EXIT STATUS"].split()).replace("can't", "cannot") or number == "9", f"exit status {number} {meaning}")
groff = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
verdict(groff.returncode == 0 and not groff.stderr, f"groff: {groff.stderr}")
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
