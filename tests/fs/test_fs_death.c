/* The supervisor's channel, the lock, and every way to end, through a real mount (the tree is in memory: fake_tree.c). [CH-1] [CH-7] */
#include "mounted.h"

enum { MAP_LEN = 64 * 1024, WITHIN_MS = 1000 };

static int file = -1;
static uint8_t *shared, *private;

/* A file that is open, cached and mapped twice. */
static bool use_a_file(void)
{
    static uint8_t bytes[MAP_LEN];
    memset(bytes, 'a', sizeof bytes);
    file = open(at("used"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (!CHECK(file >= 0 && pwrite(file, bytes, MAP_LEN, 0) == MAP_LEN))
        return false;
    shared = mmap(NULL, MAP_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    private = mmap(NULL, MAP_LEN, PROT_READ, MAP_PRIVATE, file, 0);
    return CHECK(shared != MAP_FAILED && private != MAP_FAILED && shared[5] == 'a' && private[5000] == 'a');
}

static bool is_cached(void)
{
    unsigned char present[MAP_LEN / 4096];
    if (mincore(shared, MAP_LEN, present) < 0)
        return true;
    for (size_t i = 0; i < sizeof present; i++) {
        if (present[i] & 1)
            return true;
    }
    return false;
}

static void stop_using(void)
{
    (void)munmap(shared, MAP_LEN);
    (void)munmap(private, MAP_LEN);
    (void)close(file);
    file = -1;
}

/* Every use of what was open is an error, and nothing of it is left in the kernel. */
static void check_unreadable(int wanted)
{
    static uint8_t bytes[MAP_LEN];
    int status = STATUS(pread(file, bytes, 100, 0));
    CHECK(wanted ? status == wanted : status < 0);
    memset(bytes, 'w', sizeof bytes);
    status = STATUS(pwrite(file, bytes, 4096, 0)); /* a full page: needs no read before */
    CHECK(wanted ? status == wanted : status < 0);
    CHECK(faults(shared + 5));
    CHECK(faults(private + 5000));
    CHECK(STATUS(pread(file, bytes, 4096, 0)) < 0);
    CHECK(!is_cached());
}

static enum hf_result ask_raw(const void *bytes, size_t len)
{
    struct hf_writer request;
    struct hf_reader body;
    uint8_t buffer[64];
    hf_writer_init(&request, buffer, sizeof buffer);
    hf_write_bytes(&request, bytes, len);
    return ask(&request, &body);
}

TEST(a_request_out_of_its_place_changes_nothing)
{
    mounted_spawn();
    CHECK_INT(ask_lock(1), HF_PROTOCOL);
    CHECK_INT(ask_plain(HF_FS_UNLOCK), HF_PROTOCOL);
    CHECK_INT(ask_plain(HF_FS_SETTLE), HF_PROTOCOL);
    CHECK_INT(ask_plain(HF_FS_STATUS), HF_PROTOCOL);
    CHECK_INT(ask_plain(HF_FS_CHECK), HF_PROTOCOL);
    CHECK_INT(ask_plain(HF_FS_CLOSE), HF_PROTOCOL);
    CHECK_INT(ask_plain(HF_FS_START), HF_PROTOCOL); /* without its body */
    if (!CHECK_INT(ask_start(), HF_OK))
        goto end;
    CHECK_INT(ask_start(), HF_PROTOCOL);
    CHECK_INT(ask_lock(3), HF_PROTOCOL);
    CHECK_INT(ask_lock(0), HF_PROTOCOL);
    CHECK_INT(ask_raw("\x01\x05\x00", 3), HF_PROTOCOL); /* START cut off */
    CHECK_INT(ask_raw("\x04\x05\x00", 3), HF_PROTOCOL); /* SETTLE with something behind it */
    CHECK_INT(ask_raw("\x07\x05\x09", 3), HF_PROTOCOL); /* ROTATE of no class */
    CHECK_INT(ask_raw("\x34\x12", 2), HF_PROTOCOL);
    CHECK_INT(ask_raw("\x04", 1), HF_PROTOCOL);
    CHECK(use_a_file()); /* it serves on */
    stop_using();
    CHECK_INT(ask_plain(HF_FS_CLOSE), HF_OK);
    CHECK_INT(ask_plain(HF_FS_CLOSE), HF_PROTOCOL);
    CHECK_INT(ask_lock(1), HF_PROTOCOL);
    CHECK_INT(ask_plain(HF_FS_UNLOCK), HF_PROTOCOL);
    (void)ask_counts();
    (void)close(m.fuse);
    m.fuse = -1;
    CHECK_INT(umount2(m.dir, 0), 0);
    m.mounted = false;
    CHECK_INT(mounted_wait(2000), 0);
end:
    mounted_end();
}

TEST(it_settles_by_itself)
{
    if (!mounted_start())
        goto end;
    uint32_t before = ask_counts().settles;
    (void)close(open(at("f"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    for (int i = 0; i < 100 && ask_counts().settles == before; i++)
        (void)usleep(10000);
    CHECK_INT(ask_counts().settles, before + 1);
    (void)usleep(500000); /* nothing is dirty now */
    CHECK_INT(ask_counts().settles, before + 1);
end:
    mounted_end();
}

/* The next message of a job: its type, the reader behind it. */
static uint16_t next_message(struct hf_reader *ret)
{
    size_t len = 0;
    if (!CHECK_INT(hf_ipc_recv(m.control, message_buffer, sizeof message_buffer, &len, NULL, 0, NULL, 5000), HF_OK))
        return 0;
    hf_reader_init(ret, HF_SPAN(message_buffer, len));
    return hf_read_u16(ret);
}

static void begin(uint16_t type, const char *body, size_t len)
{
    uint8_t buffer[64];
    struct hf_writer request;
    hf_message_begin(&request, buffer, sizeof buffer, type);
    hf_write_bytes(&request, body, len);
    CHECK_INT(hf_message_send(m.control, &request), HF_OK);
}

static void check_reply(enum hf_result wanted, uint64_t first, uint64_t second, size_t numbers)
{
    struct hf_reader reader;
    char text[256];
    CHECK_INT(next_message(&reader), HF_MSG_REPLY);
    CHECK_INT(hf_read_u16(&reader), wanted);
    hf_read_string(&reader, text, sizeof text);
    if (numbers > 0)
        CHECK_INT(hf_read_u64(&reader), first);
    if (numbers > 1)
        CHECK_INT(hf_read_u64(&reader), second);
    CHECK_INT(hf_reader_end(&reader), HF_OK);
}

TEST(check_and_rotate_report_and_can_be_stopped)
{
    struct hf_reader reader;
    char text[64];
    if (!mounted_start())
        goto end;
    begin(HF_FS_CHECK, "", 0);
    check_reply(HF_OK, 7, 0, 2);
    (void)close(open(at("damaged"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    begin(HF_FS_CHECK, "", 0);
    CHECK_INT(next_message(&reader), HF_FS_FINDING);
    CHECK_INT(hf_read_u8(&reader), 1);
    hf_read_string(&reader, text, sizeof text);
    CHECK_STR(text, "/damaged");
    hf_read_string(&reader, text, sizeof text);
    CHECK_STR(text, "not authentic");
    CHECK_INT(hf_reader_end(&reader), HF_OK);
    check_reply(HF_OK, 7, 1, 2);
    begin(HF_FS_ROTATE, "\2", 1);
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK_INT(next_message(&reader), HF_MSG_PROGRESS);
        CHECK_INT(hf_read_u64(&reader), i);
    }
    check_reply(HF_OK, 5, 0, 1);
    (void)close(open(at("endless"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    (void)unlink(at("damaged"));
    begin(HF_FS_CHECK, "", 0);
    (void)usleep(500000); /* it settles and serves meanwhile */
    struct stat st;
    CHECK_INT(STATUS(stat(at("none"), &st)), -ENOENT);
    uint64_t since = hf_clock_ms();
    begin(HF_FS_LOCK, "\2\0\0\0\1\0\0\0\0\0", 10);
    check_reply(HF_BUSY, 0, 0, 0); /* the check's */
    check_reply(HF_OK, 0, 0, 0);   /* the lock's */
    begin(HF_FS_STOP, "", 0); /* has no reply: what follows is the next request's */
    begin(HF_FS_CHECK, "", 0);
    begin(HF_FS_STOP, "", 0);
    check_reply(HF_BUSY, 0, 0, 0);
    CHECK(hf_clock_ms() - since < WITHIN_MS);
    CHECK(ask_counts().settles >= 2);
end:
    mounted_end();
}

/* How often bytes occur in the program's memory. */
static unsigned search_memory(const char *bytes, size_t len)
{
    char path[64], line[512];
    unsigned hits = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/maps", m.process.pid);
    FILE *maps = fopen(path, "re");
    (void)snprintf(path, sizeof path, "/proc/%d/mem", m.process.pid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(maps && memory >= 0);
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char mode[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[1] != 'w' || to - from > 1ul << 30)
            continue;
        uint8_t *copy = malloc(to - from);
        ssize_t got = copy ? pread(memory, copy, to - from, (off_t)from) : 0;
        for (uint8_t *here = copy; got > 0 && (here = memmem(here, (size_t)(copy + got - here), bytes, len)); here++)
            hits++;
        free(copy);
    }
    if (maps)
        (void)fclose(maps);
    (void)close(memory);
    return hits;
}

TEST(lock_takes_everything_back)
{
    char marker[64], link_target[64], bytes[64];
    if (!mounted_start())
        goto end;
    /* Put together here, so that no file of ours holds them. */
    (void)snprintf(marker, sizeof marker, "%s-%u-%s", "content", 77123u, "marker");
    (void)snprintf(link_target, sizeof link_target, "%s-%u-%s", "target", 99456u, "marker");
    CHECK(use_a_file());
    CHECK_INT(pwrite(file, marker, strlen(marker), 8192), (long long)strlen(marker));
    CHECK_INT(symlink(link_target, at("s")), 0);
    CHECK_INT(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
    CHECK_INT(pread(file, bytes, 20, 8192), 20);
    CHECK(search_memory(marker, strlen(marker)) > 0); /* the buffers of a request and of an answer: the search finds what is there */
    CHECK(search_memory(link_target, strlen(link_target)) > 0);
    CHECK_INT(ask_lock(1), HF_OK);
    uint64_t since = hf_clock_ms();
    CHECK_INT(ask_lock(2), HF_OK);
    CHECK(hf_clock_ms() - since < WITHIN_MS);
    CHECK_INT(search_memory(marker, strlen(marker)), 0);
    CHECK_INT(search_memory(link_target, strlen(link_target)), 0);
    check_unreadable(-ENOKEY);
    CHECK_INT(STATUS(open(at("used"), O_RDONLY | O_CLOEXEC)), -ENOKEY);
    CHECK(STATUS(readlink(at("s"), bytes, sizeof bytes)) < 0);
    CHECK_INT(ask_plain(HF_FS_UNLOCK), HF_OK);
    CHECK(pread(file, bytes, strlen(marker), 8192) == (ssize_t)strlen(marker) && memcmp(bytes, marker, strlen(marker)) == 0);
    CHECK(shared[5] == 'a');
    stop_using();
end:
    mounted_end();
}

TEST(unmounted_while_busy)
{
    char bytes[4];
    if (!mounted_start())
        goto end;
    CHECK(use_a_file());
    CHECK_INT(STATUS(umount2(m.dir, 0)), -EBUSY);
    CHECK_INT(pread(file, bytes, 4, 0), 4);
    CHECK_INT(umount2(m.dir, MNT_DETACH), 0);
    m.mounted = false;
    CHECK(is_free());
    CHECK_INT(pread(file, bytes, 4, 0), 4); /* who has it open goes on */
    CHECK_INT(mounted_wait(300), -1);
    stop_using();
    CHECK_INT(mounted_wait(3000), 0);
end:
    mounted_end();
}

/* Something that is put over the mountpoint meanwhile is not taken for ours. */
TEST(another_mount_is_left_alone)
{
    struct statfs info;
    if (!mounted_start())
        goto end;
    CHECK_INT(umount2(m.dir, 0), 0);
    CHECK_INT(mount("none", m.dir, "tmpfs", 0, NULL), 0);
    CHECK_INT(mounted_wait(3000), 0);
    (void)usleep(200000);
    CHECK(statfs(m.dir, &info) == 0 && info.f_type == 0x01021994);
    CHECK_INT(umount2(m.dir, 0), 0);
    m.mounted = false;
end:
    mounted_end();
}

static void kill_control(void)
{
    (void)close(m.control);
    m.control = -1;
}

static void terminate(void)
{
    CHECK_INT(kill(m.process.pid, SIGTERM), 0);
}

enum { STUCK = 6 /* more than there are threads */ };

static pid_t readers[STUCK];

/* Requests that do not end, each holding a page. */
static void hang(void)
{
    int fd = open(at("stuck"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, STUCK << 20) == 0);
    (void)close(dup(fd)); /* a first close asks the program; it would hang below */
    for (int i = 0; i < STUCK; i++) {
        readers[i] = fork();
        if (readers[i] == 0) {
            char byte;
            (void)close(m.control);
            (void)close(m.enclave);
            _exit(pread(fd, &byte, 1, (off_t)i << 20) < 0 ? 0 : 1);
        }
    }
    (void)close(fd);
    (void)usleep(200000);
}

static void check_readers_failed(void)
{
    for (int i = 0; i < STUCK; i++) {
        int status = -1;
        CHECK(waitpid(readers[i], &status, 0) == readers[i] && status == 0);
    }
}

/* [CH-7]: within a second all is error, the program is gone, the mountpoint is free. */
static void check_death(void (*cause)(void), bool stuck)
{
    if (!mounted_start())
        return;
    CHECK(use_a_file());
    shared[9] = 'd'; /* a page that must still be written */
    if (stuck)
        hang();
    uint64_t since = hf_clock_ms();
    cause();
    CHECK(mounted_wait(WITHIN_MS) >= 0);
    while (!is_free() && hf_clock_ms() - since < WITHIN_MS)
        (void)usleep(1000);
    CHECK(is_free());
    m.mounted = !is_free();
    check_unreadable(0);
    CHECK(hf_clock_ms() - since < WITHIN_MS + 100);
    if (stuck)
        check_readers_failed();
    stop_using();
}

TEST(death_of_the_supervisor)
{
    check_death(kill_control, false);
    mounted_end();
}

TEST(death_of_the_enclave)
{
    check_death(enclave_gone, false);
    mounted_end();
}

TEST(death_by_signal)
{
    check_death(terminate, false);
    mounted_end();
}

TEST(death_while_a_request_hangs)
{
    check_death(kill_control, true);
    mounted_end();
}

/* A lock that a hanging request holds up ends in death, not in a process that no signal can end. */
TEST(a_lock_that_cannot_end)
{
    if (!mounted_start())
        goto end;
    CHECK(use_a_file());
    hang();
    CHECK_INT(ask_lock(2), HF_CLOSED);
    CHECK(mounted_wait(WITHIN_MS) >= 0);
    check_unreadable(0);
    check_readers_failed();
    stop_using();
end:
    mounted_end();
}

/* The supervisor's descriptor keeps the connection: nothing may be left in the caches when the program has gone. */
TEST(death_leaves_nothing_cached)
{
    mounted_spawn();
    if (!CHECK_INT(ask_start(), HF_OK) || !use_a_file())
        goto end;
    CHECK(is_cached());
    terminate();
    CHECK(mounted_wait(WITHIN_MS) >= 0);
    CHECK(!is_cached());
    (void)close(m.fuse); /* aborts, so that nobody waits for an answer */
    m.fuse = -1;
    check_unreadable(0);
    stop_using();
end:
    mounted_end();
}

TEST(a_killed_program_frees_the_mountpoint)
{
    if (!mounted_start())
        goto end;
    CHECK_INT(kill(m.process.pid, SIGKILL), 0);
    CHECK(mounted_wait(WITHIN_MS) >= 0);
    for (int i = 0; i < WITHIN_MS && !is_free(); i++)
        (void)usleep(1000);
    CHECK(is_free());
    m.mounted = !is_free();
end:
    mounted_end();
}

MOUNTED_MAIN()
