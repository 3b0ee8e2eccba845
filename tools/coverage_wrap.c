/* Linked into the coverage build alone (tools/coverage.sh, by --wrap): programs that end without exit() write their counters first, programs that their supervisor ends
 * have the time to, and no sandbox is entered, since the counters' files lie outside of each. Everything else is what it is. */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>

enum { END_MS = 500 };

void __gcov_dump(void) __attribute__((weak));
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

_Noreturn void __wrap__exit(int status)
{
    if (__gcov_dump)
        __gcov_dump();
    __real__exit(status);
}

long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_seccomp || number == 446 /* landlock_restrict_self */)
        return 0;
    if (number == SYS_pidfd_send_signal && a[1] == SIGKILL) {
        struct pollfd ended = {.fd = (int)a[0], .events = POLLIN};
        (void)poll(&ended, 1, END_MS);
    }
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
