/* super/bus.c: what the desktop and the machine's sleep tell us, by logind on the system bus. sd-bus lives in the supervisor's one poll: nothing here waits.
 *
 * No bus, or one that goes away, is no error: it is noted in the status and tried again. Messages of anybody but logind are not believed: every user of the
 * system bus may send us signals. logind's Unlock is not listened to: it brings no passcode, so it could open nothing. Source: spec/60-processes.md [LK-1] [LK-2] [LK-8]. */
#include "super/super.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file.h"

enum { RETRY_MS = 1000, RETRY_MAX_MS = 60000, TURN_MAX = 64 };

static const char *const logind = "org.freedesktop.login1";
static const char *const session = "org.freedesktop.login1.Session";

static void lost(struct hf_super *super, int error)
{
    struct hf_bus *bus = &super->bus;
    bus->bus = sd_bus_close_unref(bus->bus);
    bus->logind[0] = '\0';
    bus->asking = false;
    hf_cleanup_fd(&bus->inhibitor); /* nobody counts it any more */
    uint64_t pause = (uint64_t)RETRY_MS << (bus->retries < 6 ? bus->retries++ : 6);
    bus->retry_at_ms = hf_clock_ms() + (pause < RETRY_MAX_MS ? pause : RETRY_MAX_MS);
    (void)snprintf(bus->note, sizeof bus->note, "no system bus (%s): the screen's lock and suspend do not lock this vault", strerror(-error));
    hf_trigger_resume(super); /* nobody would tell us */
}

static bool from_logind(const struct hf_super *super, sd_bus_message *message)
{
    const char *sender = sd_bus_message_get_sender(message);
    return super->bus.logind[0] && sender && strcmp(sender, super->bus.logind) == 0;
}

/* --- the inhibitor: sleep waits for us while we hold it, for logind's InhibitDelayMaxSec (5 s) --- */

static int inhibit_told(sd_bus_message *reply, void *arg, sd_bus_error *unused)
{
    struct hf_super *super = arg;
    int fd = -1;
    (void)unused;
    super->bus.asking = false;
    if (sd_bus_message_is_method_error(reply, NULL) || sd_bus_message_read(reply, "h", &fd) < 0) {
        (void)snprintf(super->bus.note, sizeof super->bus.note, "logind gives no delay before a suspend: keys may still be there when the machine sleeps");
        return 0;
    }
    hf_cleanup_fd(&super->bus.inhibitor);
    super->bus.inhibitor = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    super->bus.note[0] = '\0';
    if (super->suspending && !super->locking) /* told to sleep meanwhile, and locked */
        hf_bus_let_sleep(super);
    return 0;
}

static void inhibit(struct hf_super *super)
{
    struct hf_bus *bus = &super->bus;
    if (bus->asking || bus->inhibitor >= 0 || !bus->logind[0])
        return;
    bus->asking = sd_bus_call_method_async(bus->bus, NULL, logind, "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "Inhibit", inhibit_told, super,
                                           "ssss", "sleep", "Holdfast", "takes the keys away first", "delay") >= 0;
}

void hf_bus_let_sleep(struct hf_super *super)
{
    hf_cleanup_fd(&super->bus.inhibitor);
}

static int on_sleep(sd_bus_message *message, void *arg, sd_bus_error *unused)
{
    struct hf_super *super = arg;
    int begins = 0;
    (void)unused;
    if (!from_logind(super, message) || sd_bus_message_read(message, "b", &begins) < 0)
        return 0;
    if (begins) {
        hf_trigger_suspend(super);
    } else {
        hf_trigger_resume(super);
        inhibit(super);
    }
    return 0;
}

/* --- the screen's lock --- */

/* A session of another user locks nothing of ours. One of which nobody can say whose it is (it has ended meanwhile) does. */
static int user_told(sd_bus_message *reply, void *arg, sd_bus_error *unused)
{
    uint32_t uid = 0;
    (void)unused;
    bool told = !sd_bus_message_is_method_error(reply, NULL) && sd_bus_message_enter_container(reply, 'v', "(uo)") >= 0 &&
                sd_bus_message_enter_container(reply, 'r', "uo") >= 0 && sd_bus_message_read(reply, "u", &uid) >= 0;
    if (!told || uid == geteuid())
        hf_trigger_screen_lock(arg);
    return 0;
}

static void ask_whose(struct hf_super *super, sd_bus_message *signal)
{
    if (sd_bus_call_method_async(super->bus.bus, NULL, super->bus.logind, sd_bus_message_get_path(signal), "org.freedesktop.DBus.Properties", "Get", user_told, super,
                                 "ss", session, "User") < 0)
        hf_trigger_screen_lock(super);
}

static int on_lock(sd_bus_message *message, void *arg, sd_bus_error *unused)
{
    (void)unused;
    if (from_logind(arg, message))
        ask_whose(arg, message);
    return 0;
}

/* Desktops that lock by themselves tell logind so: LockedHint becomes true. */
static int on_changed(sd_bus_message *message, void *arg, sd_bus_error *unused)
{
    const char *name = NULL;
    int is = 0;
    (void)unused;
    if (!from_logind(arg, message) || sd_bus_message_skip(message, "s") < 0 || sd_bus_message_enter_container(message, 'a', "{sv}") < 0)
        return 0;
    while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
        if (sd_bus_message_read(message, "s", &name) < 0)
            return 0;
        if (strcmp(name, "LockedHint") == 0 && sd_bus_message_read(message, "v", "b", &is) >= 0 && is) {
            ask_whose(arg, message);
            return 0;
        }
        if (strcmp(name, "LockedHint") != 0 && sd_bus_message_skip(message, "v") < 0)
            return 0;
        (void)sd_bus_message_exit_container(message);
    }
    return 0;
}

/* --- who logind is, and the connection --- */

static void logind_is(struct hf_super *super, const char *name)
{
    struct hf_bus *bus = &super->bus;
    hf_cleanup_fd(&bus->inhibitor);
    bus->asking = false;
    (void)snprintf(bus->logind, sizeof bus->logind, "%s", name);
    (void)snprintf(bus->note, sizeof bus->note, "%s", name[0] ? "" : "no logind on the system bus: the screen's lock and suspend do not lock this vault");
    bus->retries = 0;
    hf_trigger_resume(super); /* another logind knows nothing of a sleep that the last one began */
    inhibit(super);
}

static int owner_told(sd_bus_message *reply, void *arg, sd_bus_error *unused)
{
    const char *name = "";
    (void)unused;
    if (sd_bus_message_is_method_error(reply, NULL) || sd_bus_message_read(reply, "s", &name) < 0)
        name = "";
    logind_is(arg, name);
    return 0;
}

static int on_owner(sd_bus_message *message, void *arg, sd_bus_error *unused)
{
    const char *name, *before, *now;
    const char *sender = sd_bus_message_get_sender(message);
    (void)unused;
    if (sender && strcmp(sender, "org.freedesktop.DBus") == 0 && sd_bus_message_read(message, "sss", &name, &before, &now) >= 0 && strcmp(name, logind) == 0)
        logind_is(arg, now);
    return 0;
}

static int subscribe(struct hf_super *super)
{
    static const struct {
        const char *match;
        sd_bus_message_handler_t handler;
    } matches[] = {
        {"type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop.login1'", on_owner},
        {"type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.login1.Manager',member='PrepareForSleep'", on_sleep},
        {"type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.login1.Session',member='Lock'", on_lock},
        {"type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',"
         "arg0='org.freedesktop.login1.Session'", on_changed},
    };
    int result = 0;
    for (size_t i = 0; i < sizeof matches / sizeof matches[0] && result >= 0; i++)
        result = sd_bus_add_match_async(super->bus.bus, NULL, matches[i].match, matches[i].handler, NULL, super);
    if (result >= 0)
        result = sd_bus_call_method_async(super->bus.bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetNameOwner", owner_told,
                                          super, "s", logind);
    return result;
}

void hf_bus_start(struct hf_super *super)
{
    super->bus.retry_at_ms = 0;
    int result = sd_bus_open_system(&super->bus.bus);
    if (result >= 0)
        result = subscribe(super);
    if (result < 0)
        lost(super, result);
}

void hf_bus_stop(struct hf_super *super)
{
    super->bus.bus = sd_bus_close_unref(super->bus.bus);
    super->bus.retry_at_ms = 0;
    hf_cleanup_fd(&super->bus.inhibitor);
}

void hf_bus_watch(const struct hf_super *super, struct pollfd *ret)
{
    *ret = (struct pollfd){.fd = -1};
    if (!super->bus.bus)
        return;
    ret->fd = sd_bus_get_fd(super->bus.bus);
    int events = sd_bus_get_events(super->bus.bus);
    ret->events = POLLIN;
    if (events > 0)
        ret->events = (short)events;
}

uint64_t hf_bus_next_deadline(const struct hf_super *super)
{
    uint64_t at_us = UINT64_MAX;
    if (!super->bus.bus)
        return super->bus.retry_at_ms;
    if (sd_bus_get_timeout(super->bus.bus, &at_us) < 0 || at_us == UINT64_MAX)
        return 0;
    uint64_t now_us = hf_clock_ns() / 1000; /* sd-bus counts by the monotonic clock */
    return hf_clock_ms() + (at_us > now_us ? (at_us - now_us) / 1000 + 1 : 0);
}

void hf_bus_turn(struct hf_super *super)
{
    if (!super->bus.bus && super->bus.retry_at_ms && hf_clock_ms() >= super->bus.retry_at_ms)
        hf_bus_start(super);
    for (int i = 0; i < TURN_MAX && super->bus.bus && !super->exiting; i++) {
        int result = sd_bus_process(super->bus.bus, NULL);
        if (result < 0)
            lost(super, result);
        if (result <= 0)
            return;
    }
}
