/* proto/mount.h: supervisor -> filesystem. Source: spec/60-processes.md [CH-7].
 *
 * | request | body | reply body |
 * | START   | u32 flags (HF_FS_*) | string mountpoint                     | -    HEAD_OPEN done, root record there, serving |
 * | LOCK    | u32 class mask | u8 phase | u8 how (HF_LOCK_*) | u32 inactivity_s | -    phase 1: drain and settle, invalidate what belongs to the classes; phase 2 (after the enclave forgot): drop keys and plaintext of the classes, invalidate again, confirm |
 * | UNLOCK  | -                                                          | -    asks INFO again; invalidates what was hidden |
 * | WAKE    | -                                                          | -    after a suspend: requests may wait for the unlock again (HF_FS_WAIT)
 * | SETTLE  | -                                                          | - |
 * | STATUS  | -                                                          | u32 open files | u32 open files of class unless-open | u32 for how many seconds the oldest of them | u64 nodes | u64 dirty | u8 freshness (HF_FRESHNESS_*) |
 * | CHECK   | -                                                          | PROGRESS-like messages HF_FS_FINDING: u8 severity | string path (<= 4095) | string what; then the reply: u64 objects | u64 findings |
 * | ROTATE  | u8 class                                                   | re-keys every file of the class to the current generation; HF_MSG_PROGRESS; u64 files |
 * | STOP    | -                                                          | no reply of its own, the one message that may come before a reply: CHECK or ROTATE under way ends at its next file with HF_BUSY; without one it is ignored |
 * | ACCEPT  | u8 HF_ACCEPT_* | u16 n | n × string path below the mountpoint (PATHS) | PATHS: FINDING for each that was not; LIST: FINDING, severity 0, for each acceptance so far; u64 entries changed | u64 findings |
 * | CLOSE   | -                                                          | -    settles, HEAD_CLOSE; then the program ends when the connection to the kernel does |
 * CHECK and ROTATE stop when another request comes: they are answered first, HF_BUSY, then that request (ROTATE goes on where it was when it is sent again).
 * A LOCK that cannot end (20 s in phase 1 and in a deep lock's phase 2, else 8 s: a request hangs and holds its pages) is the filesystem's death.
 * When the control or key channel ends: every key is dropped, every node invalidated, every request answered EIO, the mount detached (if permitted), exit.
 *
 * Node map (descriptor 7, shared with the supervisor): a memfd; word 0 is the highest node id in use, from word 1 on one bit per node id that may have pages or attributes in the kernel.
 * The supervisor reads it to invalidate nodes of a filesystem that died. */
#ifndef HF_PROTO_MOUNT_H
#define HF_PROTO_MOUNT_H

enum hf_mount_request {
    HF_FS_START = 0x0501,
    HF_FS_LOCK,
    HF_FS_UNLOCK,
    HF_FS_SETTLE,
    HF_FS_STATUS,
    HF_FS_CHECK,
    HF_FS_ROTATE,
    HF_FS_CLOSE,
    HF_FS_STOP,
    HF_FS_WAKE,
    HF_FS_ACCEPT,
    HF_FS_FINDING = 0x0580
};

/* Of the freshness index: sound; read-only until everything is accepted (lost or damaged; older than the head; the vault was open without it); not looked at. */
enum { HF_FRESHNESS_SOUND, HF_FRESHNESS_LOST, HF_FRESHNESS_OLDER, HF_FRESHNESS_UNTENDED, HF_FRESHNESS_OFF };

#define HF_ACCEPT_PATHS 0u
#define HF_ACCEPT_ALL 1u
#define HF_ACCEPT_LIST 2u

#define HF_READ_AHEAD (1u << 20) /* bytes that the kernel reads ahead: the supervisor asks for it, the filesystem allows it */

#define HF_FS_ALLOW_OTHER 1u
#define HF_FS_READ_ONLY 2u
#define HF_FS_DATABASES 8u /* the flags of owner.h, shifted by one */
#define HF_FS_WAIT 4u /* requests that find class complete locked wait for the unlock */
#define HF_FS_NO_FRESHNESS 16u /* for measuring alone */
/* LOCK's how. */
#define HF_LOCK_DEEP 1u    /* back to before the first unlock */
#define HF_LOCK_ALL 4u     /* class always too: all keys are destroyed */
#define HF_LOCK_SUSPEND 2u /* the machine is about to sleep: nobody may wait for an unlock until WAKE */
#define HF_NODE_MAP_BITS (1u << 25)
#define HF_NODE_MAP_LEN (8u + HF_NODE_MAP_BITS / 8u)

#endif
