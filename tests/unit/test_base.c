/* Unit tests of src/base: results, bounded reading and writing, base64url. */
#include <signal.h>
#include <stdint.h>

#include "base/base64url.h"
#include "base/cleanup.h"
#include "base/reader.h"
#include "base/result.h"
#include "base/writer.h"
#include "check.h"

TEST(result_texts_and_exit_codes)
{
    for (int i = 0; i < HF_RESULT_COUNT; i++) {
        const char *text = hf_result_text((enum hf_result)i);
        CHECK(text && text[0]);
        CHECK(hf_result_exit_code((enum hf_result)i) >= 0 && hf_result_exit_code((enum hf_result)i) <= 9);
        CHECK((hf_result_exit_code((enum hf_result)i) == 0) == (i == HF_OK));
    }
    CHECK_INT(hf_result_exit_code(HF_WRONG_PASSCODE), 3);
    CHECK_INT(hf_result_exit_code(HF_DAMAGED), 7);
    CHECK_INT(hf_result_exit_code(HF_UNREACHABLE), 9);
    CHECK_INT(hf_result_exit_code(HF_NO_MEMORY), 1);
    CHECK_INT(hf_result_exit_code((enum hf_result)999), 1);
    CHECK(hf_result_text((enum hf_result)999) != NULL);
}

TEST(fail_formats_and_cuts)
{
    struct hf_error error;
    CHECK_INT(hf_fail(&error, HF_IO, "%s: %d", "keybag", 7), HF_IO);
    CHECK_INT(error.result, HF_IO);
    CHECK_STR(error.text, "keybag: 7");
    CHECK_INT(hf_fail(NULL, HF_BUSY, "x"), HF_BUSY);
    (void)hf_fail(&error, HF_IO, "%0300d", 1);
    CHECK_INT(strlen(error.text), sizeof error.text - 1);
}

static void break_an_assertion(void)
{
    check_hide_stderr();
    HF_ASSERT(check_test_count == 0);
}

TEST(assert_aborts)
{
    int status = check_in_child(break_an_assertion);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

TEST(steal_and_cleanup)
{
    HF_CLEANUP(free) char *text = malloc(4);
    char *stolen = hf_steal_pointer(&text);
    CHECK(!text && stolen);
    free(stolen);
}

TEST(write_then_read_everything)
{
    uint8_t buffer[256];
    struct hf_writer writer;
    hf_writer_init(&writer, buffer, sizeof buffer);
    hf_write_u8(&writer, 0x12);
    hf_write_u16(&writer, 0x3456);
    hf_write_u32(&writer, 0x789abcde);
    hf_write_u48(&writer, 0x010203040506);
    hf_write_u64(&writer, 0x1122334455667788);
    hf_write_bytes(&writer, "bytes", 5);
    hf_write_span16(&writer, HF_SPAN("span", 4));
    hf_write_string(&writer, "text");
    hf_write_string(&writer, "");
    hf_write_zeros(&writer, 3);
    CHECK_INT(hf_writer_end(&writer), HF_OK);
    CHECK_INT(buffer[1], 0x56); /* little-endian */

    struct hf_reader reader;
    hf_reader_init(&reader, hf_writer_span(&writer));
    CHECK_INT(hf_read_u8(&reader), 0x12);
    CHECK_INT(hf_read_u16(&reader), 0x3456);
    CHECK_INT(hf_read_u32(&reader), 0x789abcde);
    CHECK_INT(hf_read_u48(&reader), 0x010203040506);
    CHECK_INT(hf_read_u64(&reader), 0x1122334455667788);
    char bytes[5];
    hf_read_bytes(&reader, bytes, sizeof bytes);
    CHECK_MEM(bytes, "bytes", 5);
    struct hf_span span = hf_read_view16(&reader, 4);
    CHECK(span.len == 4 && memcmp(span.data, "span", 4) == 0);
    char text[5];
    hf_read_string(&reader, text, sizeof text);
    CHECK_STR(text, "text");
    hf_read_string(&reader, text, sizeof text);
    CHECK_STR(text, "");
    CHECK_INT(hf_reader_left(&reader), 3);
    hf_read_zeros(&reader, 3);
    CHECK_INT(hf_reader_end(&reader), HF_OK);
}

TEST(reader_failure_sticks_and_zeroes)
{
    static const uint8_t input[] = {1, 2, 3};
    struct hf_reader reader;
    hf_reader_init(&reader, HF_SPAN_OF(input));
    CHECK_INT(hf_read_u32(&reader), 0);
    CHECK_INT(hf_read_u8(&reader), 0); /* would fit, but the failure sticks */
    uint8_t out[2] = {9, 9};
    hf_read_bytes(&reader, out, sizeof out);
    CHECK(out[0] == 0 && out[1] == 0);
    CHECK(hf_read_view(&reader, 1).data == NULL);
    CHECK_INT(hf_reader_left(&reader), 0);
    CHECK_INT(hf_reader_end(&reader), HF_DAMAGED);
}

TEST(reader_refuses_trailing_bytes_and_huge_lengths)
{
    static const uint8_t input[] = {1, 2, 3};
    struct hf_reader reader;
    hf_reader_init(&reader, HF_SPAN_OF(input));
    (void)hf_read_u16(&reader);
    CHECK_INT(hf_reader_end(&reader), HF_DAMAGED);
    CHECK(hf_read_view(&reader, SIZE_MAX).data == NULL);
    CHECK(hf_read_view(&reader, SIZE_MAX - 1).data == NULL);
    CHECK_INT(hf_reader_end(&reader), HF_DAMAGED);
    hf_reader_init(&reader, HF_SPAN(NULL, 0));
    CHECK_INT(hf_reader_end(&reader), HF_OK);
    hf_reader_init(&reader, HF_SPAN(NULL, 5));
    CHECK_INT(hf_read_u8(&reader), 0);
    CHECK_INT(hf_reader_end(&reader), HF_DAMAGED);
}

static enum hf_result read_one_string(const void *bytes, size_t len, char *out, size_t cap)
{
    struct hf_reader reader;
    hf_reader_init(&reader, HF_SPAN(bytes, len));
    hf_read_string(&reader, out, cap);
    return hf_reader_end(&reader);
}

TEST(reader_strings)
{
    char out[4];
    CHECK_INT(read_one_string("\3\0abc", 5, out, sizeof out), HF_OK);
    CHECK_STR(out, "abc");
    CHECK_INT(read_one_string("\4\0abcd", 6, out, sizeof out), HF_DAMAGED); /* no room for the NUL */
    CHECK_STR(out, "");
    CHECK_INT(read_one_string("\3\0a\0c", 5, out, sizeof out), HF_DAMAGED);
    CHECK_STR(out, "");
    CHECK_INT(read_one_string("\3\0ab", 4, out, sizeof out), HF_DAMAGED);
    CHECK_INT(read_one_string("\0\0", 2, out, sizeof out), HF_OK);
}

TEST(reader_zeros_and_limits)
{
    struct hf_reader reader;
    hf_reader_init(&reader, HF_SPAN("\0\0\1", 3));
    hf_read_zeros(&reader, 3);
    CHECK_INT(hf_reader_end(&reader), HF_DAMAGED);
    hf_reader_init(&reader, HF_SPAN("\3\0abc", 5));
    CHECK(hf_read_view16(&reader, 2).data == NULL);
    CHECK_INT(hf_reader_end(&reader), HF_DAMAGED);
    hf_reader_init(&reader, HF_SPAN("", 0));
    hf_reader_reject(&reader);
    CHECK_INT(hf_reader_end(&reader), HF_DAMAGED);
}

TEST(writer_overflow_sticks)
{
    uint8_t buffer[4] = {0};
    struct hf_writer writer;
    hf_writer_init(&writer, buffer, 3);
    hf_write_u16(&writer, 0xffff);
    hf_write_u16(&writer, 0xffff);
    hf_write_u8(&writer, 0xff); /* would fit, but the overflow sticks */
    CHECK_INT(hf_writer_end(&writer), HF_TOO_LARGE);
    CHECK_INT(hf_writer_span(&writer).len, 2);
    CHECK(buffer[2] == 0 && buffer[3] == 0);
    hf_writer_init(&writer, buffer, sizeof buffer);
    hf_write_bytes(&writer, buffer, SIZE_MAX);
    CHECK_INT(hf_writer_end(&writer), HF_TOO_LARGE);
    uint8_t large[8];
    hf_writer_init(&writer, large, sizeof large);
    hf_write_u48(&writer, 1ULL << 48);
    CHECK_INT(hf_writer_end(&writer), HF_TOO_LARGE);
    hf_writer_init(&writer, large, sizeof large);
    hf_write_span16(&writer, (struct hf_span){NULL, 0});
    CHECK_INT(hf_writer_end(&writer), HF_OK);
    hf_write_span16(&writer, (struct hf_span){large, 65536});
    CHECK_INT(hf_writer_end(&writer), HF_TOO_LARGE);
}

static enum hf_result decode(const char *text, uint8_t *out, size_t cap, size_t *ret_len)
{
    return hf_base64url_decode(text, strlen(text), out, cap, ret_len);
}

TEST(base64url_vectors)
{
    static const char *const pairs[][2] = {{"", ""},         {"f", "Zg"},        {"fo", "Zm8"},         {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"},
                                           {"\xff\xfe\xfd\xfb\xef", "__79--8"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        size_t len = strlen(pairs[i][0]);
        char text[16];
        hf_base64url_encode((const uint8_t *)pairs[i][0], len, text);
        CHECK_STR(text, pairs[i][1]);
        CHECK_INT(strlen(text), HF_BASE64URL_LEN(len));
        uint8_t back[8];
        size_t back_len = 99;
        CHECK_INT(decode(text, back, len, &back_len), HF_OK);
        CHECK_INT(back_len, len);
        CHECK_MEM(back, pairs[i][0], len);
    }
}

TEST(base64url_is_strict)
{
    static const char *const bad[] = {"A",    "Zh",  "Zm9", "Zg==", "Zg=", " Zg", "Zg\n", "Zm+v",
                                      "Zm/v", "Z.", "AAAAA", "zz\xc3\xa9"};
    uint8_t out[8];
    size_t len = 77;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(decode(bad[i], out, sizeof out, &len), HF_DAMAGED);
    CHECK_INT(decode("Zm9v", out, 2, &len), HF_TOO_LARGE);
    CHECK_INT(hf_base64url_decode("Zm\0v", 4, out, sizeof out, &len), HF_DAMAGED);
    CHECK_INT(len, 77); /* untouched on failure */
}

TEST(base64url_round_trip)
{
    uint8_t bytes[67];
    for (size_t len = 0; len <= sizeof bytes; len++) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(i * 151 + len * 7);
        char text[HF_BASE64URL_LEN(sizeof bytes) + 1];
        hf_base64url_encode(bytes, len, text);
        uint8_t back[sizeof bytes];
        size_t back_len = 0;
        CHECK_INT(decode(text, back, sizeof back, &back_len), HF_OK);
        CHECK(back_len == len && memcmp(back, bytes, len) == 0);
    }
}

TEST(hex)
{
    char text[9];
    hf_hex_encode((const uint8_t *)"\x00\x1f\xa0\xff", 4, text);
    CHECK_STR(text, "001fa0ff");
}

CHECK_MAIN()
