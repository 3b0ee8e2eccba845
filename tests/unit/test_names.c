/* Tests of src/fs/names.c: names, link targets and bindings under made-up class keys. */
#include <errno.h>

#include "base/base64url.h"
#include "check.h"
#include "crypto/siv.h"
#include "crypto/wrap.h"
#include "fakering.h"
#include "fs/names.h"
#include "fs/worker.h"
#include "os/disk.h"
#include "os/secret.h"

static const uint8_t none[32], dir_a[16] = {1}, dir_b[16] = {2}, file_id[16] = {3};

/* One side record, as the directory would hold it. */
static char record_name[HF_BACKING_MAX + 1], record_target[400];

static ssize_t one_record(int dir, const char *name, char *buffer, size_t cap)
{
    (void)dir;
    size_t len = strlen(record_target);
    if (strcmp(name, record_name) != 0)
        return -ENOENT;
    memcpy(buffer, record_target, len < cap ? len : cap);
    return (ssize_t)(len < cap ? len : cap);
}

static const struct hf_disk_ops record_disk = {.readlinkat = one_record};

static void fill_name(char out[300], size_t len, char letter)
{
    memset(out, letter, len);
    out[len] = '\0';
}

static void put_record(const char *backing, const char *side)
{
    (void)snprintf(record_name, sizeof record_name, "N%s", backing + 1);
    (void)snprintf(record_target, sizeof record_target, "%s", side);
}

/* [NM-1] */
TEST(names_go_there_and_back)
{
    char name[300], backing[HF_BACKING_MAX], again[HF_BACKING_MAX], side[400], out[256];
    size_t last_wide = 0;
    for (size_t len = 1; len <= 255; len++) {
        fill_name(name, len, 'x');
        CHECK_INT(hf_name_encode(HF_CLASS_COMPLETE, 1, dir_a, name, backing, side), HF_OK);
        CHECK_INT(hf_name_encode(HF_CLASS_COMPLETE, 1, dir_a, name, again, NULL), HF_OK);
        CHECK_STR(backing, again);
        CHECK(strlen(backing) <= 255 && !hf_name_is_ours(backing));
        CHECK_INT(hf_name_is_long(backing), len > 175);
        CHECK_INT(side[0] != '\0', len > 175);
        size_t wide = strlen(backing);
        CHECK(len > 175 || len % 16 == 1 || wide == last_wide || len == 1); /* the length is told in steps of 16 alone */
        last_wide = wide;
        if (len > 175)
            put_record(backing, side);
        CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, backing, out), HF_OK);
        CHECK_STR(out, name);
        CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_b, -1, backing, out), HF_DAMAGED);
        CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 2, dir_a, -1, backing, out), HF_DAMAGED);
        CHECK_INT(hf_name_decode(HF_CLASS_ALWAYS, 1, dir_a, -1, backing, out), HF_DAMAGED);
    }
    fill_name(name, 256, 'x');
    CHECK_INT(hf_name_encode(HF_CLASS_COMPLETE, 1, dir_a, name, backing, side), HF_TOO_LARGE);
    CHECK_INT(hf_name_encode(HF_CLASS_COMPLETE, 1, dir_a, "", backing, side), HF_TOO_LARGE);
    ring_locked = true;
    CHECK_INT(hf_name_encode(HF_CLASS_COMPLETE, 1, dir_a, "a", backing, side), HF_LOCKED);
    CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, backing, out), HF_LOCKED);
    ring_locked = false;
}

/* [NM-1] */
TEST(a_changed_name_is_none_of_ours)
{
    char backing[HF_BACKING_MAX], bad[HF_BACKING_MAX], out[256] = "kept";
    CHECK_INT(hf_name_encode(HF_CLASS_COMPLETE, 1, dir_a, "some name", backing, NULL), HF_OK);
    for (size_t at = 0; at < strlen(backing); at++) {
        memcpy(bad, backing, sizeof bad);
        bad[at] = bad[at] == 'A' ? 'B' : 'A';
        CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, bad, out), HF_DAMAGED);
        memcpy(bad, backing, sizeof bad);
        bad[at] = '\0';
        CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, bad, out), HF_DAMAGED);
    }
    CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, "plain.txt", out), HF_DAMAGED);
    CHECK_STR(out, "kept");
}

/* [NM-1] Sealed as it should be, but no name: a slash in it, or a short one in a long one's place. */
TEST(sealed_nonsense_is_refused)
{
    struct hf_name_key key;
    uint8_t plain[16] = "a/b", sealed[32];
    char backing[HF_BACKING_MAX], out[256];
    CHECK_INT(hf_keyring_name(HF_CLASS_COMPLETE, 1, &key), HF_OK);
    CHECK_INT(hf_siv_seal(key.bytes, HF_SPAN(dir_a, 16), HF_SPAN_OF(plain), sealed), HF_OK);
    hf_base64url_encode(sealed, sizeof sealed, backing);
    CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, backing, out), HF_DAMAGED);
    plain[0] = '\0';
    CHECK_INT(hf_siv_seal(key.bytes, HF_SPAN(dir_a, 16), HF_SPAN_OF(plain), sealed), HF_OK);
    hf_base64url_encode(sealed, sizeof sealed, backing);
    CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, backing, out), HF_DAMAGED);
}

/* [NM-1] */
TEST(a_long_names_record_is_its_own)
{
    char name[300], one[HF_BACKING_MAX], two[HF_BACKING_MAX], side_one[400], side_two[400], out[256];
    fill_name(name, 200, 'x');
    CHECK_INT(hf_name_encode(HF_CLASS_COMPLETE, 1, dir_a, name, one, side_one), HF_OK);
    fill_name(name, 200, 'y');
    CHECK_INT(hf_name_encode(HF_CLASS_COMPLETE, 1, dir_a, name, two, side_two), HF_OK);
    put_record(one, side_one);
    CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, one, out), HF_OK);
    CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, two, out), HF_DAMAGED); /* has none */
    put_record(one, side_two);
    CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, one, out), HF_DAMAGED); /* another name's */
    put_record(one, "");
    CHECK_INT(hf_name_decode(HF_CLASS_COMPLETE, 1, dir_a, -1, one, out), HF_DAMAGED);
}

TEST(links_are_bound_to_their_place)
{
    char target[HF_LINK_MAX + 2], sealed[4096], out[4096];
    for (size_t len = 1; len <= HF_LINK_MAX; len += len < 40 ? 1 : 301) {
        memset(target, 't', len);
        target[len] = '\0';
        CHECK_INT(hf_link_seal(HF_CLASS_COMPLETE, 1, dir_a, "l", target, sealed), HF_OK);
        CHECK_INT(hf_link_open(HF_CLASS_COMPLETE, 1, dir_a, "l", sealed, strlen(sealed), out), HF_OK);
        CHECK_STR(out, target);
        CHECK_INT(hf_link_open(HF_CLASS_COMPLETE, 1, dir_a, "m", sealed, strlen(sealed), out), HF_DAMAGED);
        CHECK_INT(hf_link_open(HF_CLASS_COMPLETE, 1, dir_b, "l", sealed, strlen(sealed), out), HF_DAMAGED);
        sealed[3] = sealed[3] == 'A' ? 'B' : 'A';
        CHECK_INT(hf_link_open(HF_CLASS_COMPLETE, 1, dir_a, "l", sealed, strlen(sealed), out), HF_DAMAGED);
    }
    memset(target, 't', HF_LINK_MAX + 1);
    target[HF_LINK_MAX + 1] = '\0';
    CHECK_INT(hf_link_seal(HF_CLASS_COMPLETE, 1, dir_a, "l", target, sealed), HF_TOO_LARGE);
    CHECK_INT(hf_link_seal(HF_CLASS_COMPLETE, 1, dir_a, "l", "", sealed), HF_TOO_LARGE);
}

/* [NM-5] Each part of what is bound changes the MAC. */
TEST(bindings_depend_on_every_part)
{
    struct hf_dir_record record = {.class = HF_CLASS_COMPLETE, .class_generation = 1, .dir_id = {9}, .epoch = 1, .version = 1};
    const uint8_t some[32] = {7};
    uint8_t macs[14][16], other[16];
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_COMPLETE, 1, dir_a, 0700, 1, 2, none, "n", macs[0]), HF_OK);
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_COMPLETE, 1, dir_b, 0700, 1, 2, none, "n", macs[1]), HF_OK);
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_COMPLETE, 1, dir_a, 0701, 1, 2, none, "n", macs[2]), HF_OK);
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_COMPLETE, 1, dir_a, 0700, 2, 2, none, "n", macs[3]), HF_OK);
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_COMPLETE, 1, dir_a, 0700, 1, 1, none, "n", macs[4]), HF_OK);
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_COMPLETE, 1, dir_a, 0700, 1, 2, none, "m", macs[5]), HF_OK);
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_COMPLETE, 2, dir_a, 0700, 1, 2, none, "n", macs[6]), HF_OK);
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_ALWAYS, 1, dir_a, 0700, 1, 2, none, "n", macs[7]), HF_OK); /* as the root's is */
    record.version = 2;
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_COMPLETE, 1, dir_a, 0700, 1, 2, none, "n", macs[8]), HF_OK);
    CHECK_INT(hf_name_slot(HF_CLASS_COMPLETE, 1, dir_a, file_id, "n", macs[9]), HF_OK);
    CHECK_INT(hf_name_slot(HF_CLASS_COMPLETE, 1, dir_b, file_id, "n", macs[10]), HF_OK);
    CHECK_INT(hf_attr_mac(HF_CLASS_COMPLETE, 1, file_id, 0700, 1, 2, macs[11]), HF_OK);
    record.flags = HF_DIR_ATTRIBUTES; /* [NM-9] */
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_COMPLETE, 1, dir_a, 0700, 1, 2, none, "n", macs[12]), HF_OK);
    CHECK_INT(hf_dir_mac(&record, HF_CLASS_COMPLETE, 1, dir_a, 0700, 1, 2, some, "n", macs[13]), HF_OK);
    for (unsigned i = 0; i < 14; i++) {
        for (unsigned j = 0; j < i; j++)
            CHECK(memcmp(macs[i], macs[j], 16) != 0);
    }
    CHECK_INT(hf_attr_mac(HF_CLASS_UNLESS_OPEN, 1, file_id, 0700, 1, 2, other), HF_LOCKED);
}

int main(void)
{
    struct hf_error error;
    hf_disk = &record_disk;
    if (hf_secret_open(0, 1 << 18, &error) != HF_OK || hf_crypto_start() != HF_OK || hf_worker_start() != HF_OK)
        return 1;
    return check_run_all();
}
