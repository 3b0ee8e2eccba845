/* The keybag: read, checked, opened, put together and replaced as a whole. */
#include "enclave/enclave.h"

#include <stdio.h>

#include "os/file.h"
#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

static uint8_t file[HF_KEYBAG_MAX]; /* ciphertext and public fields alone */

enum hf_result hf_keystore_read(struct hf_keybag_view *ret, struct hf_error *error)
{
    size_t len = 0;
    enum hf_result result = hf_file_read(HF_FD_ENCLAVE_DIR, "keybag", file, sizeof file, &len);
    if (result != HF_OK)
        return hf_fail(error, result == HF_NOT_FOUND ? HF_GONE : result == HF_TOO_LARGE ? HF_DAMAGED : result, "keybag (.holdfast/keybag): %s", hf_result_text(result));
    return hf_keybag_parse(HF_SPAN(file, len), ret, error);
}

void hf_keystore_device_key(const struct hf_device_secret *secret, const uint8_t vault_id[16], struct hf_device_key *ret)
{
    struct hf_span info = HF_SPAN(vault_id, 16);
    hf_kdf(HF_KDF_DEVICE_KEY, secret->bytes, &info, 1, ret->bytes, sizeof ret->bytes);
    hf_test_note_secret("device-key", ret->bytes, sizeof ret->bytes);
}

static enum hf_result open_section(enum hf_kdf_context context, const uint8_t key[32], struct hf_span header, struct hf_span sealed, struct hf_keybag_keys *ret)
{
    uint8_t plain[HF_KEYBAG_KEYS_ENCODED_MAX];
    if (sealed.len < HF_WRAP_OVERHEAD || sealed.len - HF_WRAP_OVERHEAD > sizeof plain)
        return HF_DAMAGED;
    enum hf_result result = hf_unwrap(context, key, header, sealed, plain);
    if (result == HF_OK)
        result = hf_keybag_keys_decode(HF_SPAN(plain, sealed.len - HF_WRAP_OVERHEAD), ret);
    hf_wipe(plain, sizeof plain);
    return result;
}

/* [KB-7] The file as it is, written anew: the element must not follow one that a failed sync may still take back, and a sync that failed is not asked twice. */
static enum hf_result keep(struct hf_error *error)
{
    size_t len = 0;
    enum hf_result result = hf_file_read(HF_FD_ENCLAVE_DIR, "keybag", file, sizeof file, &len);
    if (result == HF_OK)
        result = hf_file_replace(HF_FD_ENCLAVE_DIR, "keybag", HF_SPAN(file, len));
    return result == HF_OK ? HF_OK : hf_fail(error, result, "keybag (.holdfast/keybag) can't be written: %s", hf_result_text(result));
}

bool hf_keystore_is_there(const struct hf_public_header *header)
{
    struct hf_keybag_view view;
    struct hf_error ignored;
    return hf_keystore_read(&view, &ignored) == HF_OK && view.header.generation == header->generation;
}

enum hf_result hf_keystore_catch_up(struct hf_enclave *e, struct hf_error *error)
{
    if (e->header.generation < e->element.generation)
        return hf_fail(error, HF_DAMAGED, "an older keybag was put back: the element counts generation %llu, the file says %llu",
                       (unsigned long long)e->element.generation, (unsigned long long)e->header.generation);
    bool slot = e->element.state == HF_ELEMENT_ACTIVE && e->element.slot != e->header.element_slot;
    if (slot || e->header.generation > e->element.generation)
        HF_TRY(keep(error));
    if (slot)
        HF_TRY(hf_link_commit(e, e->header.element_slot, error));
    if (e->header.generation > e->element.generation)
        HF_TRY(hf_link_step(e, e->header.generation, error));
    return hf_link_status(e, error);
}

enum hf_result hf_keystore_load(struct hf_enclave *e, struct hf_error *error)
{
    struct hf_keybag_view view = {0};
    uint32_t kind;
    HF_TRY(hf_keystore_read(&view, error));
    e->header = view.header;
    e->loaded = true;
    if (!e->greeted)
        HF_TRY(hf_link_hello(e, &e->header, false, &kind, error));
    if (e->element.state == HF_ELEMENT_EMPTY)
        return hf_fail(error, HF_UNREACHABLE, "the element of this machine does not know this vault: `holdfast recover` opens it with the recovery phrase");
    struct hf_device_secret secret = {0};
    struct hf_device_key key = {0};
    uint8_t mac[32];
    enum hf_result result = hf_link_device(e, &secret, error);
    if (result == HF_OK) {
        hf_keystore_device_key(&secret, e->header.vault_id, &key);
        hf_kdf(HF_KDF_KEYBAG_MAC, key.bytes, &view.macced, 1, mac, sizeof mac);
        if (!hf_equal_ct(mac, view.mac, sizeof mac))
            result = hf_fail(error, HF_DAMAGED, "keybag (.holdfast/keybag): not authentic under this machine's element");
    }
    if (result == HF_OK && open_section(HF_KDF_SECTION_KEY, key.bytes, view.header_bytes, view.device_section, &e->device_keys) != HF_OK)
        result = hf_fail(error, HF_DAMAGED, "keybag (.holdfast/keybag): the device section does not open");
    if (result == HF_OK)
        result = hf_keystore_catch_up(e, error);
    if (result == HF_OK) {
        e->device_key = key;
        e->device = true;
        e->available |= HF_CLASS_BIT(HF_CLASS_ALWAYS);
        e->meta |= HF_CLASS_BIT(HF_CLASS_ALWAYS);
    }
    hf_device_secret_wipe(&secret);
    hf_device_key_wipe(&key);
    return result;
}

enum hf_result hf_keystore_refresh(struct hf_enclave *e, struct hf_error *error)
{
    struct hf_keybag_view view;
    struct hf_public_header before = e->header;
    HF_TRY(hf_keystore_read(&view, error));
    if (view.header.generation <= before.generation) /* an older one put back: its sections will not open */
        return HF_OK;
    enum hf_result result = hf_keystore_load(e, error);
    if (result != HF_OK)
        e->header = before;
    return result;
}

static const struct hf_keybag_entry *newest_pair(const struct hf_keybag_keys *user)
{
    const struct hf_keybag_entry *best = NULL;
    for (uint32_t i = 0; i < user->count; i++) {
        if (user->entries[i].class == HF_CLASS_UNLESS_OPEN && (!best || user->entries[i].generation > best->generation))
            best = &user->entries[i];
    }
    return best;
}

void hf_keystore_public(const struct hf_keybag_keys *user, struct hf_public_header *header)
{
    const struct hf_keybag_entry *entry = newest_pair(user);
    if (entry)
        hf_onepass_public(&entry->key, header->unless_open_public);
}

/* [UO-4] What was written while locked went to the header's key: it must be the owner's. */
bool hf_keystore_public_is_ours(const struct hf_keybag_keys *user, const struct hf_public_header *header)
{
    uint8_t public_half[HF_ONEPASS_PUBLIC_LEN];
    const struct hf_keybag_entry *entry = newest_pair(user);
    if (!entry)
        return false;
    hf_onepass_public(&entry->key, public_half);
    return hf_equal_ct(public_half, header->unless_open_public, sizeof public_half);
}

enum hf_result hf_keystore_open_user(const struct hf_kek *kek, struct hf_keybag_keys *ret, struct hf_error *error)
{
    struct hf_keybag_view view = {0};
    HF_TRY(hf_keystore_read(&view, error));
    if (open_section(HF_KDF_SECTION_KEY, kek->bytes, view.header_bytes, view.user_section, ret) != HF_OK)
        return hf_fail(error, HF_DAMAGED, "keybag (.holdfast/keybag): the user section does not open though the element released its secret");
    const struct hf_policy *a = &ret->policy, *b = &view.header.policy;
    if (!hf_equal_ct(a, b, sizeof *a))
        return hf_fail(error, HF_DAMAGED, "keybag (.holdfast/keybag): the header's policy is not the sealed one");
    if (!hf_keystore_public_is_ours(ret, &view.header))
        return hf_fail(error, HF_DAMAGED, "keybag (.holdfast/keybag): the header's key for class unless-open is not the sealed one's");
    return HF_OK;
}

enum hf_result hf_keystore_open_box(const struct hf_recovery_secret *secret, struct hf_public_header *ret_header, struct hf_keybag_keys *ret,
                                    struct hf_error *error)
{
    struct hf_keybag_view view = {0};
    uint8_t plain[HF_KEYBAG_KEYS_ENCODED_MAX];
    HF_TRY(hf_keystore_read(&view, error));
    if (view.recovery_box.len == 0)
        return hf_fail(error, HF_REFUSED, "this vault was made without a recovery phrase");
    if (view.recovery_box.len < HF_RECOVERY_BOX_OVERHEAD || view.recovery_box.len - HF_RECOVERY_BOX_OVERHEAD > sizeof plain)
        return hf_fail(error, HF_DAMAGED, "keybag (.holdfast/keybag): the recovery box has no possible length");
    size_t len = view.recovery_box.len - HF_RECOVERY_BOX_OVERHEAD;
    enum hf_result result = hf_recovery_open(secret, view.header.vault_id, view.header_bytes, view.recovery_box, plain);
    if (result == HF_OK)
        result = hf_keybag_keys_decode(HF_SPAN(plain, len), ret);
    hf_wipe(plain, sizeof plain);
    if (result != HF_OK)
        return hf_fail(error, HF_WRONG_PASSCODE, "this recovery phrase does not open this vault");
    if (!hf_equal_ct(&ret->policy, &view.header.policy, sizeof ret->policy))
        return hf_fail(error, HF_DAMAGED, "keybag (.holdfast/keybag): the header's policy is not the sealed one");
    *ret_header = view.header;
    return HF_OK;
}

/* out: HF_KEYBAG_KEYS_ENCODED_MAX + the overhead. */
static enum hf_result seal_section(const uint8_t key[32], struct hf_span header, const struct hf_keybag_keys *keys, uint8_t *out, size_t *ret_len)
{
    uint8_t plain[HF_KEYBAG_KEYS_ENCODED_MAX];
    size_t len = 0;
    enum hf_result result = hf_keybag_keys_encode(keys, plain, sizeof plain, &len);
    if (result == HF_OK) {
        hf_wrap(HF_KDF_SECTION_KEY, key, header, HF_SPAN(plain, len), out);
        *ret_len = len + HF_WRAP_OVERHEAD;
    }
    hf_wipe(plain, sizeof plain);
    return result;
}

/* The phrase must open everything on another machine, whose element knows no D: the always keys go in too. */
static enum hf_result seal_box(struct hf_span header, const struct hf_keybag_keys *user, const struct hf_keybag_keys *device, uint8_t *out, size_t *ret_len)
{
    uint8_t plain[HF_KEYBAG_KEYS_ENCODED_MAX];
    size_t len = 0;
    struct hf_keybag_keys all = *user;
    memcpy(all.sentence, device->sentence, sizeof all.sentence);
    hf_duress_auth_wipe(&all.duress); /* another machine's element makes its own */
    enum hf_result result = all.count + device->count > HF_KEYBAG_KEYS_MAX ? HF_TOO_LARGE : HF_OK;
    for (uint32_t i = 0; result == HF_OK && i < device->count; i++)
        all.entries[all.count++] = device->entries[i];
    if (result == HF_OK)
        result = hf_keybag_keys_encode(&all, plain, sizeof plain, &len);
    if (result == HF_OK)
        result = hf_recovery_seal(user->recovery_public, header, HF_SPAN(plain, len), out);
    *ret_len = len + HF_RECOVERY_BOX_OVERHEAD;
    hf_wipe(plain, sizeof plain);
    hf_wipe(&all, sizeof all);
    return result;
}

enum hf_result hf_keystore_save(const struct hf_public_header *header, const struct hf_keybag_keys *user, const struct hf_keybag_keys *device,
                                const struct hf_kek *kek, const struct hf_device_key *device_key, struct hf_error *error)
{
    static uint8_t head[8192], sealed[3][HF_KEYBAG_KEYS_ENCODED_MAX + HF_RECOVERY_BOX_OVERHEAD]; /* no secrets: sealed */
    size_t head_len = 0, len[3] = {0}, macced = 0, whole = 0;
    uint8_t mac[32];
    enum hf_result result = hf_keybag_header_encode(header, head, sizeof head, &head_len);
    struct hf_span aad = HF_SPAN(head, head_len);
    if (result == HF_OK)
        result = seal_section(device_key->bytes, aad, device, sealed[0], &len[0]);
    if (result == HF_OK)
        result = seal_section(kek->bytes, aad, user, sealed[1], &len[1]);
    if (result == HF_OK && header->has_recovery)
        result = seal_box(aad, user, device, sealed[2], &len[2]);
    if (result == HF_OK)
        result = hf_keybag_assemble(aad, HF_SPAN(sealed[0], len[0]), HF_SPAN(sealed[1], len[1]), HF_SPAN(sealed[2], len[2]), file, sizeof file, &macced);
    if (result == HF_OK) {
        struct hf_span info = HF_SPAN(file, macced);
        hf_kdf(HF_KDF_KEYBAG_MAC, device_key->bytes, &info, 1, mac, sizeof mac);
        result = hf_keybag_finish(file, sizeof file, macced, mac, &whole);
    }
    if (result == HF_OK)
        result = hf_file_replace(HF_FD_ENCLAVE_DIR, "keybag", HF_SPAN(file, whole));
    return result == HF_OK ? HF_OK : hf_fail(error, result, "keybag (.holdfast/keybag) can't be written: %s", hf_result_text(result));
}

enum hf_result hf_keystore_destroy(void)
{
    static const char *const names[] = {"keybag", "keybag.new", "head", "head.new"};
    enum hf_result result = HF_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        enum hf_result removed = hf_file_remove(HF_FD_ENCLAVE_DIR, names[i], true);
        result = result == HF_OK ? removed : result;
    }
    return result;
}

enum hf_result hf_keystore_add(struct hf_keybag_keys *keys, unsigned class)
{
    uint32_t newest = 0;
    if (keys->count >= HF_KEYBAG_KEYS_MAX)
        return HF_TOO_LARGE;
    for (uint32_t i = 0; i < keys->count; i++) {
        if (keys->entries[i].class == class && keys->entries[i].generation > newest)
            newest = keys->entries[i].generation;
    }
    struct hf_keybag_entry *entry = &keys->entries[keys->count++];
    entry->class = (uint8_t)class;
    entry->generation = newest + 1;
    hf_random(entry->key.bytes, sizeof entry->key.bytes);
    hf_random(entry->meta.bytes, sizeof entry->meta.bytes);
#ifdef HF_TESTING
    char label[32];
    (void)snprintf(label, sizeof label, "class-key %s", hf_class_name(class));
    hf_test_note_secret(label, entry->key.bytes, sizeof entry->key.bytes);
#endif
    return HF_OK;
}

const struct hf_keybag_entry *hf_keystore_find(const struct hf_enclave *e, unsigned class, uint32_t generation)
{
    const struct hf_keybag_keys *keys = class == HF_CLASS_ALWAYS ? &e->device_keys : &e->user_keys;
    const struct hf_keybag_entry *best = NULL;
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct hf_keybag_entry *entry = &keys->entries[i];
        if (entry->class == class && (generation == 0 ? !best || entry->generation > best->generation : entry->generation == generation))
            best = entry;
    }
    return best;
}
