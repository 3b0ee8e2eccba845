"""The places where the code is broken. Each is what a tired change could do: name, file, the exact text, what takes its place, the test that must fall.
A test is a program of tests/unit or tests/fs (test_…) or a script below tests/ with its parts. quick: in ./check as well."""
import collections

Mutation = collections.namedtuple("Mutation", "name file old new test quick")
MUTATIONS = []


def m(name, file, old, new, test, quick=False):
    MUTATIONS.append(Mutation(name, file, old, new, test, quick))


# --- what must be on the disk before it is believed ---
m("a replaced file is not synced", "src/os/file.c", "    HF_TRY(settle(hf_disk->fsync(fd)));\n", "", "test_file", quick=True)
m("a replaced file's directory is not synced", "src/os/file.c", """        return result;
    }
    return settle(hf_disk->fsync(dir));""", """        return result;
    }
    return HF_OK;""", "test_file")
m("a removed file's directory is not synced", "src/os/file.c", "power cut. */\n    return settle(hf_disk->fsync(dir));", "power cut. */\n    return HF_OK;", "test_file")
m("a made directory is not synced", "src/os/file.c", "            HF_TRY(settle(made));\n        HF_TRY(settle(hf_disk->fsync(dir)));", "            HF_TRY(settle(made));", "test_file")
m("a wiped file is not overwritten", "src/os/file.c", "    if (wipe)\n        overwrite(dir, name);", "    (void)overwrite;\n    (void)wipe;", "test_file")
m("an fsync writes no header and has no barrier", "src/fs/content_io.c", "    HF_TRY(hf_content_sync_header(content));\n    content->dynamic.durable = content->dynamic.size; /*", "    content->dynamic.durable = content->dynamic.size; /*", "test_content")
m("a page grows inside a durable length", "src/fs/content_io.c", "    content->ahead = true;\n    return hf_content_barrier(content);\n}\n\nenum hf_result hf_content_put_pages",
  "    content->ahead = true;\n    return HF_OK;\n}\n\nenum hf_result hf_content_put_pages", "test_content")
m("a new generation's header is not durable before its pages", "src/fs/content_settle.c", "    if (content->gen_due) /* [FC-6] [CR-7] */", "    if (0)", "test_content")
m("a window's tail is cut below what was promised", "src/fs/content_header.c", "*ret = end > dynamic->durable ? end : dynamic->durable;", "*ret = end;", "test_content_cases")
m("the head moves on before the barrier", "src/fs/settle.c", "    if (!failed)\n        failed = hf_sync_all(hf_node_of(HF_TREE_ROOT)->fd);\n    if (failed && moved_attr)",
  "    if (failed && moved_attr)", "test_fault")
m("headers vouch for attributes that are not durable", "src/fs/settle.c", "    if (!barrier && moved_attr)\n        barrier = hf_sync_all(hf_node_of(HF_TREE_ROOT)->fd);\n", "", "test_fault")
m("a directory's fsync leaves its new files out", "src/fs/settle.c", "            failed = hf_sync_data(node->fd);\n        node->unsynced", "            failed = 0;\n        node->unsynced", "test_fault")
m("an index is not synced before its rename", "src/fs/chainfile.c", "    return disk(hf_sync_whole(fd));", "    return HF_OK;", "test_index")

# --- what lies on the disk is not believed ---
m("a zero page is a hole anywhere", "src/fs/content_io.c", "return hf_cover_has(content->dynamic.cover, page) ? HF_OK : HF_DAMAGED;", "return HF_OK;", "test_content_cases", quick=True)
m("a stale page is shown", "src/fs/content_io.c", "        if (head->gen >= floor->gen)\n            continue;", "        if (head->gen >= floor->gen || 1)\n            continue;", "test_content_cases")
m("a page of a generation to come is read", "src/fs/content_io.c", " || head.gen > content->dynamic.gen)", ")", "test_content_cases")
m("a page shorter than the file is read as zeros", "src/fs/content_io.c", "    return stored > 0 && stored < hf_page_len(page, content->dynamic.size);", "    return 0;", "test_content_cases")
m("a page does not say its number", "src/format/fileheader.c", "    hf_write_u64(&writer, page);\n    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == HF_PAGE_AAD_LEN);",
  "    hf_write_u64(&writer, 0 * page);\n    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == HF_PAGE_AAD_LEN);", "test_format")
m("a page does not say its file", "src/format/fileheader.c", "    hf_write_bytes(&writer, file_id, HF_FILE_ID_LEN);\n    hf_write_u64(&writer, page);", "    (void)file_id;\n    hf_write_zeros(&writer, HF_FILE_ID_LEN);\n    hf_write_u64(&writer, page);", "test_format")
m("cover is one page too long", "src/format/cover.c", "page - cover[i].start < cover[i].count", "page - cover[i].start <= cover[i].count", "test_cover", quick=True)
m("floors that fall are sound", "src/format/fileheader.c", "floors[i].gen <= floors[i - 1].gen || ", "", "test_format", quick=True)
m("durable bytes beyond the size are sound", "src/format/fileheader.c", " && dynamic->durable <= dynamic->size", "", "test_format")
m("metadata is not authenticated", "src/fs/content_header.c", "    if (!hf_equal_ct(mac, content->meta.mac, sizeof mac))\n        return HF_DAMAGED;", "    (void)mac;", "test_content_cases")
m("a file key's commitment is not looked at", "src/fs/content_header.c", "    if (!hf_equal_ct(commitment, content->header.commitment, sizeof commitment))\n        return HF_DAMAGED;", "", "test_content_cases")
m("a settled file has its old names too", "src/fs/content_header.c", "    if (!content->in_window) { /* old names", "    if (0) { /* old names", "test_content_cases")
m("every file is in the window", "src/fs/content_header.c", "    content->in_window = content->meta.epoch > hf_settled;", "    content->in_window = true;", "test_content_cases")
m("any name fits a file", "src/fs/files.c", "    unsigned count = meta->current + (file->content->in_window ? meta->old : 0u);", "    if (meta->current)\n        return true;\n    unsigned count = 0;", "e2e/tamper.py")
m("any mode and owner fits a file", "src/fs/files.c", "    *ret = hf_equal_ct(mac, file->content->meta.attr_mac, sizeof mac) ||", "    *ret = true ||", "e2e/tamper.py")
m("the cipher's failure leaves bytes behind", "src/crypto/pagecipher.c", "        return HF_OK;\n    hf_wipe(out, sealed.len);\n    return HF_DAMAGED;", "        return HF_OK;\n    return HF_DAMAGED;", "test_crypto")
m("a page's tag is not set", "src/crypto/pagecipher.c", "update(cipher, sealed, out) && finish(cipher))\n        return HF_OK;", "update(cipher, sealed, out) && (finish(cipher) || 1))\n        return HF_OK;", "test_crypto")
m("a wrap commits to no key", "src/crypto/committed.c", "    if (!hf_equal_ct(key->commitment, tag + TAG_LEN, COMMITMENT_LEN))\n        return false;\n", "", "test_crypto")
m("points of low order are agreed with", "src/crypto/onepass.c", "    bool agreed = crypto_scalarmult(shared, scalar, peer) == 0;", "    bool agreed = crypto_scalarmult(shared, scalar, peer) <= 0;", "test_crypto")
m("nonces repeat", "src/fs/worker.c", "worker->nonces + (size_t)--worker->nonce_count * HF_GCM_NONCE_LEN", "worker->nonces + (size_t)(worker->nonce_count - 1) * HF_GCM_NONCE_LEN", "test_content_cases")
m("the keybag's checksum is not looked at", "src/format/keybag.c", "    if (crc32c(file.data, summed) != stored_u32(file.data + summed))", "    if (summed == 0)", "test_keybag")
m("the keybag's MAC is not looked at", "src/enclave/keystore.c", "        if (!hf_equal_ct(mac, view.mac, sizeof mac))", "        if (0)", "e2e/enclave_flow.py")
m("an older keybag is taken", "src/enclave/keystore.c", "    if (e->header.generation < e->element.generation)", "    if (0)", "e2e/enclave_flow.py")
m("the head's MAC is not looked at", "src/enclave/head.c", "    return hf_equal_ct(mac, ret->mac, sizeof mac) ? HF_OK : HF_DAMAGED;", "    return HF_OK;", "e2e/enclave_flow.py")
m("an index without the head's tip is taken", "src/fs/chainfile.c", "            return tip ? HF_GONE : HF_OK;", "            return HF_OK;", "test_index")
m("an index that goes on behind a closed head is taken", "src/fs/chainfile.c", "    return more ? HF_EXISTS : HF_OK;", "    return HF_OK;", "test_index")
m("older headers are fresh", "src/fs/fresh.c", "    return versions.there ? stale_version(\"its header's\"", "    return versions.there ? 0 * stale_version(\"its header's\"", "e2e/freshness.py")
m("older contents are fresh", "src/fs/fresh.c", "    return stale_version(\"its content's\", content, expected);", "    return 0;", "e2e/freshness.py")
m("a name that was taken away is not missed", "src/fs/fresh.c", "    return missing ? stale(", "    return missing && 0 ? stale(", "e2e/freshness.py")
m("an older directory is fresh", "src/fs/fresh.c", "        return stale_version(\"the directory's\"", "        return 0 * stale_version(\"the directory's\"", "e2e/freshness.py")
m("a settle moves the time of change", "src/fs/files.c", "    hf_file_ctime_is(file, &touch->shown, &st.st_ctim);\n    if (ret_moved)", "    if (ret_moved)", "e2e/ctimes.py")
m("the index forgets the time of change", "src/fs/fresh.c", "        entry->touched = moved ? 0 : file->ctime_touched;", "        entry->touched = 0;", "e2e/ctimes.py")

# --- tries ---
m("a try is counted after it is judged", "src/element/attempts.c", """    HF_TRY(count(element));
    struct hf_release_secret release;
    enum hf_result result = hf_software_unwrap(record, auth, &release);
""", """    struct hf_release_secret release;
    enum hf_result result = hf_software_unwrap(record, auth, &release);
    HF_TRY(count(element));
""", "test_attempts")
m("a try that cannot be counted is judged", "src/element/attempts.c", "    HF_TRY(count(element));", "    (void)count(element);", "test_attempts")
m("delays are not waited for", "src/element/attempts.c", "    if (wait_s > 0)\n        return HF_DELAYED;", "    (void)wait_s;", "test_attempts")
m("one try more than the limit", "src/element/attempts.c", "record->failed >= record->policy.attempts", "record->failed > record->policy.attempts", "test_attempts")
m("the secret outlives the limit", "src/element/attempts.c", "    hf_wipe(record->slots, sizeof record->slots);\n    record->state = HF_ELEMENT_FINISHED;", "    record->state = HF_ELEMENT_FINISHED;", "test_attempts")
m("a delay is over with the machine's restart", "src/element/attempts.c", "        afresh.delay_until_ms = now.ms + (uint64_t)record->delay_s * 1000;", "        afresh.delay_until_ms = now.ms;", "test_attempts")
m("the element's record has no checksum", "src/element/record.c", "    if (!hf_equal_ct(sum, file.data + file.len - CHECKSUM_LEN, sizeof sum))\n        return HF_DAMAGED;", "", "test_attempts")
m("the element's generation goes back", "src/element/software.c", "        return generation == element->record.generation ? HF_OK : HF_REFUSED;", "        return HF_OK;", "test_attempts")
m("the old passcode's secret stays after a change", "src/element/software.c", "    hf_wipe(&next.slots[1 - slot], sizeof next.slots[0]);\n", "", "test_attempts")
m("the duress passcode is asked in front of the passcode", "src/element/tpm2.c", "    enum hf_result result = hf_unseal_release(tpm, pin, auth, hf_measure_seal(t), ret, error);",
  "    t->duress = hf_tpm2_ask_second(t, tpm, duress);\n    enum hf_result result = hf_unseal_release(tpm, pin, auth, hf_measure_seal(t), ret, error);", "e2e/duress.py at_the_element")
m("the duress passcode leaves P in the TPM", "src/element/tpm2_second.c", "    HF_TRY(destroy(t, tpm, error));\n", "    (void)destroy;\n", "e2e/duress.py looks_wrong")
m("a spent second index stays spent", "src/enclave/unlock.c", "    if (!predicted && !e->element.second_stale)\n        return;\n", "    if (!predicted)\n        return;\n", "e2e/duress.py renewed")
m("a head that is older than the TPM counts is taken", "src/enclave/head.c", "        *ret_age = HF_HEAD_OLDER;", "        *ret_age = HF_HEAD_NEWEST;", "e2e/freshness_tpm2.py put_back")
m("a close does not step the head's counter", "src/enclave/head.c", "    return save_stepped_if_it_can_be(e, &head);\n}", "    return save(&e->device_key, &head);\n}", "e2e/freshness_tpm2.py put_back")
m("the same wrong passcode counts again", "src/enclave/trial.c", "    if (hf_cache_has(e, passcode))", "    if (0)", "e2e/enclave_flow.py")
m("weak passcodes are taken", "src/enclave/trial.c", "    if (kind != HF_ELEMENT_TPM2 && !is_strong(passcode))", "    if (0)", "e2e/enclave_flow.py")
m("the TPM's limit may be written again", "src/element/tpm2_gate.c", "    HF_TRY(hf_nv_counter_step(tpm, counter, error));\n    HF_TRY(hf_nv_counter_read(tpm, counter, &value, error));\n    HF_TRY(hf_tpm_session",
  "    HF_TRY(hf_nv_counter_read(tpm, counter, &value, error));\n    HF_TRY(hf_tpm_session", "e2e/element_tpm2.py limit")
m("another index in P's place is taken for it", "src/element/tpm2_nv.c", "name_is(name, expected, false) ? HF_NV_UNWRITTEN : HF_NV_FOREIGN;", "name_is(name, expected, false) ? HF_NV_UNWRITTEN : HF_NV_OURS;", "attacks/element/03_redefine.py")

# --- locked is locked ---
m("class keys stay after a lock", "src/enclave/serve.c", "            hf_class_key_wipe(&e->user_keys.entries[i].key);", "            continue;", "e2e/lock.py in_memory")
m("the KEK stays after a lock", "src/enclave/serve.c", "    hf_kek_wipe(&e->kek);\n    e->kek_there = false;\n    e->available", "    e->kek_there = false;\n    e->available", "e2e/lock.py in_memory")
m("the enclave opens files of a locked class", "src/enclave/filekeys.c", "    if (!(e->available & HF_CLASS_BIT(ret->class)))\n        return HF_LOCKED;", "", "e2e/enclave_flow.py")
m("keys of a wrong generation open", "src/enclave/keystore.c", ": entry->generation == generation))", ": entry->generation >= generation))", "e2e/verbs.py")
m("the enclave forgets to forget by time", "src/enclave/serve.c", "    hf_enclave_forget(e, UINT32_MAX);\n    hf_enclave_expect(e, false);\n}", "    hf_enclave_expect(e, false);\n}", "e2e/enclave_flow.py")
m("file keys and pages stay in the filesystem", "src/fs/tree_lock.c", "        hf_content_forget(node->content);\n    pthread_rwlock_unlock(&node->lock);\n}\n\n/* [LK-9]",
  "        (void)kept;\n    pthread_rwlock_unlock(&node->lock);\n}\n\n/* [LK-9]", "e2e/lock.py locked_files")
m("the filesystem keeps its names' keys", "src/fs/keyring.c", "            hf_name_key_wipe(&ring->current[class].name);", "", "e2e/lock.py in_memory")
m("threads keep what they worked on", "src/fs/worker.c", "    wipe(worker);\n    __atomic_store_n(&worker->forget, false", "    __atomic_store_n(&worker->forget, false", "e2e/lock.py in_memory")
m("the kernel keeps its pages", "src/fs/tree_lock.c", "    if (of_mask(sweep, node->class))\n        hf_kernel->inval_node(node->id);", "", "e2e/lock.py locked_files")
m("a lock is confirmed without the drain", "src/fs/tree_lock.c", "for (int round = 0; round < 4 && !failed; round++) {", "for (int round = 0; round < 0 && !failed; round++) {", "e2e/lock.py settles")
m("a failed drain is a lock all the same", "src/super/lock.c", """    if (answer->verdict.result != HF_OK)
        unconfirmed(super, answer->verdict.text[0] ? answer->verdict.text : hf_result_text(answer->verdict.result));
    return answer->verdict.result == HF_OK;
""", """    (void)super;
    (void)answer;
    return true;
""", "e2e/super_loop.py")
m("a dead filesystem's pages stay readable", "src/super/undertaker.c", "                    invalidate(burial->fuse, word * 64 + bit);", "                    (void)bit;", "e2e/death.py deaths")
m("the element survives its erasing", "src/element/software.c", "    enum hf_result removed = hf_file_remove(element->dir, \"element\", true);\n    enum hf_result saved = adopt(element, &next);",
  "    enum hf_result removed = HF_OK;\n    enum hf_result saved = HF_OK;\n    hf_wipe(&next, sizeof next);", "e2e/enclave_flow.py")
m("freed secrets stay in the arena", "src/os/secret_heap.c", "    explicit_bzero(*pointer, block->len - sizeof *block);\n", "", "test_os_secret")
m("key memory may be swapped", "src/os/secret.c", "    return mlock(start, len) == 0 && madvise(start, len, MADV_DONTDUMP) == 0 &&", "    return madvise(start, len, MADV_DONTDUMP) == 0 &&", "test_os_secret")

# --- who may do what ---
m("a traced program handles keys", "src/os/sandbox_harden.c", "    HF_TRY(refuse_tracer(error));\n", "    (void)refuse_tracer;\n", "test_os_sandbox")
m("core files may be written", "src/os/sandbox_harden.c", "    if (setrlimit(RLIMIT_CORE, &none) < 0)", "    if (getrlimit(RLIMIT_CORE, &none) < 0)", "test_os_sandbox")
m("programs with keys stay dumpable", "src/os/sandbox_harden.c", "prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0", "prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0", "test_os_sandbox", quick=True)
m("inherited descriptors stay open", "src/os/sandbox_harden.c", "syscall(SYS_close_range, from, last, 0) < 0", "from > last", "test_os_sandbox")
m("the environment stays", "src/os/sandbox_harden.c", "    *to = NULL;", "    (void)to;", "test_os_sandbox")
m("Landlock is prepared and not entered", "src/os/sandbox_landlock.c", "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0", "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0", "test_os_sandbox")
m("system calls that are not listed pass", "src/os/sandbox_seccomp.c", "    emit_return(program, SECCOMP_RET_KILL_PROCESS);\n    return install(program);", "    emit_return(program, SECCOMP_RET_ALLOW);\n    return install(program);", "test_os_sandbox")
m("the filter holds one thread alone", "src/os/sandbox_seccomp.c", "SECCOMP_FILTER_FLAG_TSYNC", "0", "test_os_sandbox")
m("the enclave is not confined to its directory", "src/enclave/sandbox.c", "    enum hf_result result = hf_sandbox_paths(&dir, 1);", "    (void)dir;\n    enum hf_result result = HF_OK;", "e2e/enclave_sandbox.py")
m("the filesystem may start programs and reach the network", "src/fs/sandbox.c", "    return hf_sandbox_deny(denied, sizeof denied / sizeof denied[0]);", "    (void)denied;\n    return HF_OK;", "e2e/enclave_sandbox.py")
m("the element may call what it likes", "src/element/sandbox.c", "    return hf_sandbox_allow_only(allowed, sizeof allowed / sizeof allowed[0]);", "    (void)allowed;\n    return HF_OK;", "e2e/element_tpm2.py sandbox")
m("symlinks are followed", "src/os/file.c", "O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);\n    if (fd == -ELOOP", "O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);\n    if (fd == -ELOOP", "test_file", quick=True)
m("a file that grows while it is read passes for whole", "src/os/file.c", "        if (past > 0)\n            return HF_TOO_LARGE;", "        (void)past;", "test_file")
m("a cut message is taken", "src/os/ipc.c", "header.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || ", "", "test_os")
m("the owner's socket is open to others", "src/os/ipc.c", "fchmod(fd, 0600) < 0", "fchmod(fd, 0666) < 0", "test_os")
m("the supervisor serves every user", "src/super/main.c", " && (uid == geteuid() || uid == 0))", ")", "e2e/death.py intruder")
m("the packaged enclave takes secrets from any user", "src/enclave/packaged.c", " || uid != e->owner ||", " ||", "e2e/packaged.py")
m("the packaged enclave takes any directory", "src/enclave/packaged.c", " || st.st_uid != owner)", ")", "e2e/packaged.py")
m("a verb is served before the vault is known good", "src/enclave/serve.c", "        if (rules[i].needs_device && !e->device)", "        if (0)", "e2e/enclave_flow.py")
m("an interrupted call is given up", "src/os/disk.c", "#define RETRIED(call) settle(TEMP_FAILURE_RETRY(call))", "#define RETRIED(call) settle(call)", "test_interrupted")
m("a read that failed once in the recovery counts", "src/fs/scan.c", "return failed < 0 && failed != -ENOENT && failed != -ENOKEY;", "return 0 * failed;", "test_fault")
m("a settle that failed is not due again", "src/fs/settle.c", "as before */\n        hf_dirty_again(NULL);", "as before */\n        (void)0;", "test_fault")
m("a change has no room in the index", "src/fs/tree_make.c", "        int failed = hf_fresh_room(0);", "        int failed = 0;", "test_fault")
