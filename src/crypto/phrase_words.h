/* crypto/phrase_words.h: inside crypto/ only: BIP-39's English list, as phrase.c reads it. Others use hf_phrase_word of crypto/recovery.h. */
#ifndef HF_CRYPTO_PHRASE_WORDS_H
#define HF_CRYPTO_PHRASE_WORDS_H

#define HF_PHRASE_WORD_COUNT 2048
#define HF_PHRASE_WORD_MAX 8 /* letters of the longest word */

extern const char hf_phrase_words[HF_PHRASE_WORD_COUNT][HF_PHRASE_WORD_MAX + 1];

#endif
