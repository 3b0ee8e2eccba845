"""A system bus of a test's own with a logind on it (fake_logind.c). Nothing is left of them when the test ends."""
import atexit, os, shutil, subprocess, tempfile

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow send_requested_reply="true"/>
<allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="method_return"/><allow receive_type="error"/></policy></busconfig>
"""


class Bus:
    def __init__(self, build, start=True):
        self.build, self.work = os.path.abspath(build), tempfile.mkdtemp(prefix="hf-bus-")
        os.chmod(self.work, 0o755)
        self.address = f"unix:path={self.work}/bus"
        self.env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.address)
        open(f"{self.work}/config", "w").write(CONFIG % f"{self.work}/bus")
        self.daemon = self.logind = None
        atexit.register(self.end)
        if start:
            self.start()

    def start(self):
        self.daemon = subprocess.Popen(["dbus-daemon", f"--config-file={self.work}/config", "--nofork", "--nopidfile", "--print-address"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.daemon.stdout.readline()
        self.start_logind()

    def start_logind(self):
        self.logind = subprocess.Popen([os.path.join(self.build, "tests", "fake_logind")], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.logind.stdout.readline() == "ready\n"

    def tell(self, *words):
        self.logind.stdin.write(" ".join(map(str, words)) + "\n")
        self.logind.stdin.flush()
        return self.logind.stdout.readline().strip()

    def held(self):
        return int(self.tell("held"))

    def sleep(self):
        """(milliseconds until all were ready or logind's patience ended, inhibitors still out)"""
        _, ms, left = self.tell("sleep").split()
        return int(ms), int(left)

    def stop_logind(self):
        if self.logind:
            self.logind.kill()
            self.logind.wait()
            self.logind = None

    def stop(self):
        self.stop_logind()
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = None
        if os.path.exists(f"{self.work}/bus"):
            os.unlink(f"{self.work}/bus")

    def end(self):
        self.stop()
        shutil.rmtree(self.work, ignore_errors=True)
