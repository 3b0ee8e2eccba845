/* Linked into holdfast-fs of a build with ThreadSanitizer alone. The program closes what it does not know and gives up its paths, so reports go into a file
 * that is mapped before main: HF_TEST_TSAN_LOG, made by the test. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LOG_LEN = 4 << 20 };

static char *text;
static atomic_size_t used;

static void __attribute__((constructor)) map_log(void)
{
    const char *path = getenv("HF_TEST_TSAN_LOG");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || ftruncate(fd, LOG_LEN) < 0)
        return;
    void *map = mmap(NULL, LOG_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    text = map == MAP_FAILED ? NULL : map;
    (void)close(fd);
}

void __sanitizer_on_print(const char *line);
void __sanitizer_on_print(const char *line)
{
    size_t len = strlen(line);
    size_t at = text ? atomic_fetch_add(&used, len) : LOG_LEN;
    if (at + len <= LOG_LEN)
        memcpy(text + at, line, len);
}
