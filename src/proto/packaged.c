#include "proto/packaged.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/process.h"

static const char *directory(void)
{
#ifdef HF_TESTING
    const char *test = getenv("HF_TEST_SOCKETS");
    if (test)
        return test;
#endif
    char path[4096];
    size_t len = strlen(HF_LIBEXECDIR);
    bool installed = hf_process_find("holdfast-super", path, sizeof path) == HF_OK && strncmp(path, HF_LIBEXECDIR "/", len + 1) == 0;
    return installed ? "/run/holdfast" : NULL;
}

bool hf_packaged_socket(const char *program, char *out, size_t cap)
{
    const char *dir = directory();
    int len = dir ? snprintf(out, cap, "%s/%s.sock", dir, program) : -1;
    return len > 0 && (size_t)len < cap;
}
