#include "fs/death.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "fs/serve.h"
#include "fs/tree.h"
#include "proto/message.h"

enum { LAST_US = 700000 };

static int signals_fd = -1;
static int timer_fd = -1;

/* Whatever holds up what follows: the clock ends us, and the supervisor's undertaker goes on. */
static void limit_time(void)
{
    const struct itimerval last = {.it_value = {.tv_sec = 0, .tv_usec = LAST_US}};
    sigset_t set;
    (void)signal(SIGALRM, SIG_DFL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGALRM);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    (void)setitimer(ITIMER_REAL, &last, NULL);
}

static _Noreturn void die(void)
{
    limit_time();
    /* Threads that wait for a key must not hold up the others. */
    (void)shutdown(HF_FD_FS_ENCLAVE, SHUT_RDWR);
    hf_serve_give_up();
    hf_tree_die();
    /* The threads have answered EIO meanwhile; what comes now finds no connection. The mount goes when the process beside us sees our end (detach.h). */
    _exit(0);
}

static void *watch(void *arg)
{
    struct pollfd ends[] = {{HF_FD_FS_CONTROL, 0, 0}, {HF_FD_FS_ENCLAVE, 0, 0}, {signals_fd, POLLIN, 0}, {timer_fd, POLLIN, 0}};
    (void)arg;
    while (poll(ends, 4, -1) < 0)
        continue;
    die();
}

enum hf_result hf_death_watch(void)
{
    sigset_t set;
    pthread_t thread;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return HF_FAILED;
    signals_fd = signalfd(-1, &set, SFD_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (signals_fd < 0 || timer_fd < 0 || pthread_create(&thread, NULL, watch, NULL) != 0)
        return HF_NO_MEMORY;
    (void)pthread_detach(thread);
    return HF_OK;
}

void hf_death_in(unsigned ms)
{
    const struct itimerspec when = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}};
    (void)timerfd_settime(timer_fd, 0, &when, NULL);
}
