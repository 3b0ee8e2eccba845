/* cli/layout.c: the folders of the personal profile, made when a vault is mounted for the first time (it is empty then). */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "os/file.h"

/* What is read only by a person who is there is `complete`; what arrives behind a locked screen `unless-open`; what programs read there `after-unlock`. The manual gives each reason. */
static const struct {
    const char *name;
    unsigned class;
} folders[] = {
    {"Conversations", HF_CLASS_COMPLETE}, /* read and written by a person at the screen */
    {"Photos", HF_CLASS_UNLESS_OPEN},     /* a camera's import goes on behind a locked screen */
    {"Music", HF_CLASS_AFTER_UNLOCK},     /* plays on behind a locked screen */
    {"Notes", HF_CLASS_COMPLETE},
    {"Calendars", HF_CLASS_AFTER_UNLOCK}, /* reminders ring */
    {"Contacts", HF_CLASS_AFTER_UNLOCK},  /* a call shows its name */
    {"Finance", HF_CLASS_COMPLETE},
    {"Health", HF_CLASS_COMPLETE},
    {"Location", HF_CLASS_UNLESS_OPEN},   /* is logged behind a locked screen */
};

static bool is_empty(const char *mountpoint)
{
    DIR *stream = opendir(mountpoint);
    struct dirent *entry = NULL;
    if (!stream)
        return false;
    while ((entry = readdir(stream)) != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0))
        continue;
    (void)closedir(stream);
    return !entry;
}

enum hf_result cli_layout(const char *mountpoint, struct hf_error *error)
{
    if (!is_empty(mountpoint))
        return HF_OK;
    HF_CLEANUP(fd) int root = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; root >= 0 && i < sizeof folders / sizeof folders[0]; i++) {
        const char *class = hf_class_name(folders[i].class);
        if (mkdirat(root, folders[i].name, 0700) < 0)
            return hf_fail(error, HF_FAILED, "%s/%s: %s", mountpoint, folders[i].name, strerror(errno));
        HF_CLEANUP(fd) int folder = openat(root, folders[i].name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0 || fsetxattr(folder, "user.holdfast.class", class, strlen(class), 0) < 0)
            return hf_fail(error, HF_FAILED, "%s/%s: its class cannot be set: %s", mountpoint, folders[i].name, strerror(errno));
    }
    return root >= 0 ? HF_OK : hf_fail(error, HF_FAILED, "%s: %s", mountpoint, strerror(errno));
}
