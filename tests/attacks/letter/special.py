"""Special versions: programs of Holdfast built from changed sources, as their makers could be ordered to. special.build("holdfast-element", {"element/attempts.c":
[(old, new)…]}, where) compiles the changed files with the build's own commands and links the rest of its objects."""
import json, os, shlex, subprocess

from book import BUILD, ROOT


def build(program, changes, where):
    """where: the directory that gets the special program in place of the true one."""
    commands = {os.path.relpath(os.path.join(c["directory"], c["file"]), os.path.join(ROOT, "src")): c for c in json.load(open(os.path.join(BUILD, "compile_commands.json")))
                if f"{program}.p/" in c["command"]}
    link = shlex.split(subprocess.run(["ninja", "-C", BUILD, "-t", "commands", f"src/{program}"], capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1])
    for source, edits in changes.items():
        text = open(os.path.join(ROOT, "src", source)).read()
        for old, new in edits:
            if text.count(old) != 1:
                raise LookupError(f"{source}: {text.count(old)} times: {old}")
            text = text.replace(old, new)
        changed = os.path.join(where, "special-" + os.path.basename(source))
        open(changed, "w").write(text)
        words = shlex.split(commands[source]["command"])
        at = words.index("-o")
        original, words[at + 1] = words[at + 1], changed[:-2] + ".o"
        words[words.index("-c") + 1] = changed
        words = [w for w in words if w not in ("-MD", "-Werror")]
        for option in ("-MQ", "-MF"):
            if option in words:
                del words[words.index(option):words.index(option) + 2]
        subprocess.run(words, cwd=BUILD, check=True, capture_output=True)
        link[link.index(original)] = changed[:-2] + ".o"
    out = os.path.join(where, program)
    link[link.index("-o") + 1] = out + ".new"
    subprocess.run(link, cwd=BUILD, check=True, capture_output=True)
    os.rename(out + ".new", out)


# An element that counts nothing, waits for nothing and knows no limit; a TPM's delays gone as well.
FREE_GUESSES = {
    "element/attempts.c": [("    if (wait_s > 0)\n        return HF_DELAYED;\n", ""), ("    HF_TRY(count(element));\n", ""),
                           ("return record->policy.attempts > 0 && record->failed >= record->policy.attempts;", "return record->policy.attempts > 1000000;")],
    "element/tpm2_delay.c": [("    if (delay_s == 0)\n", "    (void)now; (void)t;\n    if (delay_s != 1)\n")],
}
# An enclave that leaves each passcode it is told in its own directory (its sandbox permits that).
TELLTALE = {
    "enclave/trial.c": [("            hf_test_note_secret(\"passcode\", ret->bytes, ret->len);\n",
                          "        {\n            int told = openat(HF_FD_ENCLAVE_DIR, \"told\", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);\n"
                          "            if (told >= 0 && write(told, ret->bytes, ret->len) > 0)\n                (void)close(told);\n        }\n"),
                         ("#include <string.h>\n", "#include <fcntl.h>\n#include <string.h>\n#include <unistd.h>\n")],
}
