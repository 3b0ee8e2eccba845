/* File keys in use, in the secret arena: records of one size, so that taking and giving back costs the same however many there are. */
#include <pthread.h>

#include "fs/content_page.h"
#include "keys/wipe.h"
#include "os/secret.h"

enum { CHUNK = 64 };

union slot {
    struct hf_content_keys keys;
    union slot *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static union slot *free_slots;

struct hf_content_keys *hf_content_keys_new(void)
{
    pthread_mutex_lock(&lock);
    if (!free_slots) {
        union slot *chunk = hf_secret_alloc(CHUNK * sizeof *chunk); /* kept: the next files use it */
        for (unsigned i = 0; chunk && i < CHUNK; i++) {
            chunk[i].next = free_slots;
            free_slots = &chunk[i];
        }
    }
    union slot *slot = free_slots;
    if (slot) {
        free_slots = slot->next;
        hf_wipe(slot, sizeof *slot);
    }
    pthread_mutex_unlock(&lock);
    return slot ? &slot->keys : NULL;
}

void hf_content_keys_free(struct hf_content_keys **keys)
{
    union slot *slot = (union slot *)*keys;
    if (!slot)
        return;
    *keys = NULL;
    hf_wipe(slot, sizeof *slot);
    pthread_mutex_lock(&lock);
    slot->next = free_slots;
    free_slots = slot;
    pthread_mutex_unlock(&lock);
}
