#include "tree_attack.h"

#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static struct disk_inode *inode_at(struct disk *disk, uint32_t end, unsigned which)
{
    return &disk->inodes[DISK_ROOT + which % (end - DISK_ROOT)];
}

static struct disk_name *entry_at(struct disk *disk, uint32_t end, unsigned which, struct disk_inode **ret_dir)
{
    for (unsigned pass = 0, count = 0; pass < 2; pass++) {
        for (uint32_t ino = DISK_ROOT; ino < end; ino++) {
            for (struct disk_name *name = disk->inodes[ino].names; name; name = name->next) {
                if (!name->ino || name->ino == DISK_OWN)
                    continue;
                *ret_dir = &disk->inodes[ino];
                if (pass == 0)
                    count++;
                else if (which-- == 0)
                    return name;
            }
        }
        if (count == 0)
            return NULL;
        which %= count;
    }
    return NULL;
}

static void xor_page(struct disk_inode *inode, unsigned page, unsigned at, uint8_t with)
{
    struct disk_page *p = &inode->pages[page % DISK_PAGES];
    if (!p->image || !p->valid)
        return;
    uint8_t image[DISK_PAGE];
    memcpy(image, p->image, DISK_PAGE);
    image[at % p->valid] ^= with;
    p->image = disk_log_take(image, DISK_PAGE);
}

static void on_xattrs(struct disk_inode *inode, const struct disk_inode *other, enum attack kind, unsigned at, uint8_t with)
{
    for (unsigned i = 0; i < DISK_XATTRS; i++) {
        struct disk_xattr *x = &inode->xattrs[i];
        if (kind == ATTACK_XATTR_COPY) {
            *x = other->xattrs[i];
        } else if (x->name && kind == ATTACK_XATTR_GONE) {
            x->name = NULL;
        } else if (x->name && x->len) {
            uint8_t *value = disk_log_take(x->value, x->len);
            value[at % x->len] ^= with;
            x->value = value;
            x->len -= with == 0;
        }
    }
}

/* A link's text as the disk has it: base64url, so that what comes out is looked at further. */
static void on_target(struct disk_inode *inode, const struct disk_inode *other, bool copy, unsigned at, uint8_t with)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (!inode->target || (copy && !other->target))
        return;
    char *text = disk_log_take(copy ? other->target : inode->target, strlen(copy ? other->target : inode->target) + 1);
    if (!copy && text[0])
        text[at % strlen(text)] = letters[with % 64];
    inode->target = text;
    inode->size = strlen(text);
}

static bool both_or_none_dir(const struct disk *disk, const struct disk_name *a, const struct disk_name *b)
{
    return S_ISDIR(disk->inodes[a->ino].mode) == S_ISDIR(disk->inodes[b->ino].mode);
}

static void on_names(struct disk *disk, uint32_t end, enum attack kind, unsigned which, unsigned other)
{
    struct disk_inode *dir = NULL, *other_dir = NULL;
    struct disk_name *a = entry_at(disk, end, which, &dir), *b = entry_at(disk, end, other, &other_dir);
    if (!a || !b)
        return;
    if (kind == ATTACK_NAME_GONE) {
        a->ino = 0;
    } else if (kind == ATTACK_NAME_SWAP && both_or_none_dir(disk, a, b)) {
        uint32_t ino = a->ino;
        a->ino = b->ino;
        b->ino = ino;
    } else if (kind == ATTACK_NAME_ADD && !S_ISDIR(disk->inodes[a->ino].mode)) { /* its ciphertext in another directory, or a file under another's name */
        for (struct disk_name *name = other_dir->names; name; name = name->next) {
            if (strcmp(name->name, a->name) == 0)
                return;
            if (!name->next) {
                name->next = calloc(1, sizeof *name);
                FUZZ_PROMISE(name->next);
                *name->next = (struct disk_name){a->name, a->ino, NULL};
                disk->inodes[a->ino].nlink++;
                return;
            }
        }
    }
}

void attack_change(struct disk *disk, uint32_t end, const uint8_t arg[ATTACK_LEN])
{
    enum attack kind = arg[0] % ATTACK_KINDS;
    struct disk_inode *inode = inode_at(disk, end, arg[1]), *other = inode_at(disk, end, arg[2]);
    unsigned page = arg[3] % DISK_PAGES, other_page = arg[4] % DISK_PAGES, at = arg[5] | (unsigned)arg[6] << 8;
    bool data = S_ISREG(inode->mode), both = data && S_ISREG(other->mode);
    switch (kind) {
    case ATTACK_XOR: xor_page(inode, page, at, arg[7]); break;
    case ATTACK_RAW:
        for (unsigned i = 2; data && i < ATTACK_LEN; i++)
            xor_page(inode, page, at + i, arg[i]);
        break;
    case ATTACK_LENGTH:
        if (data)
            inode->size = (arg[7] & 1 ? inode->size + arg[5] : at * (uint64_t)(1 + arg[7])) % (DISK_PAGES * (uint64_t)DISK_PAGE);
        break;
    case ATTACK_SWAP_PAGES:
        if (both) {
            struct disk_page kept = inode->pages[page];
            inode->pages[page] = other->pages[other_page];
            other->pages[other_page] = kept;
        }
        break;
    case ATTACK_ZERO:
        if (data)
            inode->pages[page] = (struct disk_page){NULL, 0};
        break;
    case ATTACK_COPY_PAGE:
        if (both)
            inode->pages[page] = other->pages[other_page];
        break;
    case ATTACK_XATTR_XOR:
    case ATTACK_XATTR_GONE:
    case ATTACK_XATTR_COPY: on_xattrs(inode, other, kind, at, arg[7]); break;
    case ATTACK_TARGET_XOR:
    case ATTACK_TARGET_COPY: on_target(inode, other, kind == ATTACK_TARGET_COPY, at, arg[7]); break;
    case ATTACK_NAME_GONE:
    case ATTACK_NAME_SWAP:
    case ATTACK_NAME_ADD: on_names(disk, end, kind, arg[1], arg[2]); break;
    case ATTACK_MODE: inode->mode = (inode->mode & S_IFMT) | (at & 07777); break;
    case ATTACK_OWNER: inode->uid ^= arg[7]; break;
    case ATTACK_KINDS:
    default: break;
    }
}
