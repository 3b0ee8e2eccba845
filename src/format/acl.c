#include "format/acl.h"

#include "base/reader.h"

enum { VERSION = 2, PERMISSIONS = 7 };

struct entry {
    uint16_t tag, permissions;
};

static size_t count_of(size_t len)
{
    return (len - HF_ACL_HEADER_LEN) / HF_ACL_ENTRY_LEN;
}

static struct entry entry_at(const uint8_t *acl, size_t i)
{
    const uint8_t *at = acl + HF_ACL_HEADER_LEN + i * HF_ACL_ENTRY_LEN;
    return (struct entry){.tag = (uint16_t)(at[0] | at[1] << 8), .permissions = (uint16_t)(at[2] | at[3] << 8)};
}

static void put(uint8_t *acl, size_t i, uint32_t permissions)
{
    acl[HF_ACL_HEADER_LEN + i * HF_ACL_ENTRY_LEN + 2] = (uint8_t)(permissions & PERMISSIONS);
}

enum hf_result hf_acl_check(struct hf_span acl)
{
    struct hf_reader reader;
    uint16_t last = 0;
    unsigned seen = 0;
    if (acl.len > HF_ACL_MAX)
        return HF_DAMAGED;
    hf_reader_init(&reader, acl);
    if (hf_read_u32(&reader) != VERSION)
        hf_reader_reject(&reader);
    while (hf_reader_left(&reader) > 0 && !reader.failed) {
        uint16_t tag = hf_read_u16(&reader);
        uint16_t permissions = hf_read_u16(&reader);
        (void)hf_read_u32(&reader);
        bool named = tag == HF_ACL_USER || tag == HF_ACL_NAMED_GROUP;
        bool known = named || tag == HF_ACL_OWNER || tag == HF_ACL_GROUP || tag == HF_ACL_MASK || tag == HF_ACL_OTHER;
        if (!known || permissions > PERMISSIONS || tag < last || (tag == last && !named))
            hf_reader_reject(&reader);
        last = tag;
        seen |= tag;
    }
    HF_TRY(hf_reader_end(&reader));
    const unsigned base = HF_ACL_OWNER | HF_ACL_GROUP | HF_ACL_OTHER;
    bool has_names = (seen & (HF_ACL_USER | HF_ACL_NAMED_GROUP)) != 0;
    return (seen & base) != base || (has_names && !(seen & HF_ACL_MASK)) ? HF_DAMAGED : HF_OK;
}

/* The entry that the mode's group bits stand for. */
static size_t group_class(const uint8_t *acl, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; i < count_of(len); i++) {
        uint16_t tag = entry_at(acl, i).tag;
        if (tag == HF_ACL_MASK || tag == HF_ACL_GROUP)
            at = i; /* the mask comes behind */
    }
    return at;
}

bool hf_acl_is_mode(struct hf_span acl, uint32_t *ret_mode)
{
    uint32_t mode = 0;
    bool all = true;
    for (size_t i = 0; i < count_of(acl.len); i++) {
        struct entry entry = entry_at(acl.data, i);
        if (entry.tag == HF_ACL_OWNER)
            mode |= (uint32_t)entry.permissions << 6;
        else if (entry.tag == HF_ACL_OTHER)
            mode |= entry.permissions;
        else if (entry.tag != HF_ACL_GROUP)
            all = false;
    }
    *ret_mode = mode | (uint32_t)entry_at(acl.data, group_class(acl.data, acl.len)).permissions << 3;
    return all;
}

void hf_acl_put_mode(uint8_t *acl, size_t len, uint32_t mode)
{
    for (size_t i = 0; i < count_of(len); i++) {
        uint16_t tag = entry_at(acl, i).tag;
        if (tag == HF_ACL_OWNER)
            put(acl, i, mode >> 6);
        else if (tag == HF_ACL_OTHER)
            put(acl, i, mode);
    }
    put(acl, group_class(acl, len), mode >> 3);
}

bool hf_acl_inherit(uint8_t *acl, size_t len, uint32_t *mode)
{
    uint32_t own = 0;
    bool all = hf_acl_is_mode(HF_SPAN(acl, len), &own);
    *mode &= own | ~(uint32_t)0777;
    hf_acl_put_mode(acl, len, *mode);
    return all;
}

uint32_t hf_acl_mode_without(struct hf_span acl, uint32_t mode)
{
    for (size_t i = 0; i < count_of(acl.len); i++) {
        struct entry entry = entry_at(acl.data, i);
        if (entry.tag == HF_ACL_GROUP)
            mode &= (uint32_t)entry.permissions << 3 | ~(uint32_t)070;
    }
    return mode;
}
