/* A small logind on whatever DBUS_SYSTEM_BUS_ADDRESS names, for triggers.py. Commands on standard input, one a line; each is answered by one line:
 *   lock N, unlock N      the signal of session N (1: the caller's, 2: user 4242's, 3: nobody knows)
 *   hint N                LockedHint of session N becomes true (false before): PropertiesChanged
 *   sleep                 PrepareForSleep(true); when every inhibitor is back, or after 5 s: "slept MS HELD"
 *   wake                  PrepareForSleep(false)
 *   held                  how many inhibitors are out */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

enum { HELD_MAX = 16, DELAY_MS = 5000, STEP_MS = 20 };
static int held[HELD_MAX];
static size_t held_count;
static sd_bus *bus;

static long now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static size_t still_held(void)
{
    for (size_t i = 0; i < held_count;) {
        struct pollfd p = {held[i], 0, 0};
        if (poll(&p, 1, 0) > 0 && p.revents & POLLHUP) {
            (void)close(held[i]);
            held[i] = held[--held_count];
        } else {
            i++;
        }
    }
    return held_count;
}

static int on_inhibit(sd_bus_message *message, void *arg, sd_bus_error *error)
{
    const char *what, *who, *why, *mode;
    int ends[2];
    (void)arg;
    if (sd_bus_message_read(message, "ssss", &what, &who, &why, &mode) < 0)
        return -EINVAL;
    if (strcmp(what, "sleep") != 0 || strcmp(mode, "delay") != 0 || still_held() == HELD_MAX || pipe2(ends, O_CLOEXEC) < 0)
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "not this");
    held[held_count++] = ends[0];
    int sent = sd_bus_reply_method_return(message, "h", ends[1]);
    (void)close(ends[1]);
    return sent;
}

static int get_user(sd_bus *b, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *arg, sd_bus_error *error)
{
    (void)b, (void)path, (void)interface, (void)property, (void)error;
    return sd_bus_message_append(reply, "(uo)", *(uint32_t *)arg, "/org/freedesktop/login1/user/_1");
}

static int get_hint(sd_bus *b, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *arg, sd_bus_error *error)
{
    (void)b, (void)path, (void)interface, (void)property, (void)arg, (void)error;
    return sd_bus_message_append(reply, "b", 1);
}

static const sd_bus_vtable manager[] = {SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Inhibit", "ssss", "h", on_inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
                                        SD_BUS_SIGNAL("PrepareForSleep", "b", 0), SD_BUS_VTABLE_END};
static const sd_bus_vtable session[] = {SD_BUS_VTABLE_START(0), SD_BUS_PROPERTY("User", "(uo)", get_user, 0, 0),
                                        SD_BUS_PROPERTY("LockedHint", "b", get_hint, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE), SD_BUS_SIGNAL("Lock", "", 0),
                                        SD_BUS_SIGNAL("Unlock", "", 0), SD_BUS_VTABLE_END};

static void serve_for(int ms)
{
    long end = now_ms() + ms;
    do {
        while (sd_bus_process(bus, NULL) > 0)
            continue;
        (void)sd_bus_wait(bus, (uint64_t)STEP_MS * 1000);
    } while (now_ms() < end);
}

static void obey(const char *line)
{
    char word[16] = "", path[64];
    int number = 0;
    (void)sscanf(line, "%15s %d", word, &number);
    (void)snprintf(path, sizeof path, "/org/freedesktop/login1/session/_3%d", number);
    if (strcmp(word, "lock") == 0 || strcmp(word, "unlock") == 0) {
        printf("%d\n", sd_bus_emit_signal(bus, path, "org.freedesktop.login1.Session", word[0] == 'l' ? "Lock" : "Unlock", NULL));
    } else if (strcmp(word, "hint") == 0) {
        printf("%d\n", sd_bus_emit_properties_changed(bus, path, "org.freedesktop.login1.Session", "LockedHint", NULL));
    } else if (strcmp(word, "sleep") == 0) {
        long begin = now_ms();
        (void)sd_bus_emit_signal(bus, "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep", "b", 1);
        while (still_held() > 0 && now_ms() < begin + DELAY_MS)
            serve_for(0);
        printf("slept %ld %zu\n", now_ms() - begin, still_held());
    } else if (strcmp(word, "wake") == 0) {
        printf("%d\n", sd_bus_emit_signal(bus, "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep", "b", 0));
    } else if (strcmp(word, "held") == 0) {
        printf("%zu\n", still_held());
    } else {
        printf("what?\n");
    }
    (void)fflush(stdout);
}

int main(void)
{
    static uint32_t users[2];
    char line[128];
    users[0] = getuid();
    users[1] = 4242;
    if (sd_bus_open_system(&bus) < 0 || sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/login1", "org.freedesktop.login1.Manager", manager, NULL) < 0 ||
        sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/login1/session/_31", "org.freedesktop.login1.Session", session, &users[0]) < 0 ||
        sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/login1/session/_32", "org.freedesktop.login1.Session", session, &users[1]) < 0 ||
        sd_bus_request_name(bus, "org.freedesktop.login1", 0) < 0)
        return 1;
    printf("ready\n");
    (void)fflush(stdout);
    for (;;) {
        struct pollfd input = {0, POLLIN, 0};
        serve_for(0);
        if (poll(&input, 1, 0) > 0) {
            if (!fgets(line, sizeof line, stdin))
                return 0;
            obey(line);
        }
    }
}
