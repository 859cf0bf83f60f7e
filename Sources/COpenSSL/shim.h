#pragma once
// The plain hash functions, for `martlet_hmac_*` below, are deprecated in favour of EVP and not about to go.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <openssl/pem.h>
#include <openssl/kdf.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

// SCRAM's functions (RFC 5802 §2.2): H(), HMAC() (RFC 2104), and Hi(), which is one block of PBKDF2-HMAC (RFC 8018 §5.2). OpenSSL's own
// HMAC looks its algorithm up and makes its contexts anew for each call, fifteen times what hashing a short message takes, and its
// PBKDF2 copies an EVP context four times a round, twice what the hashing takes: here the two states that begin every HMAC are plain
// structures. A key longer than a block is hashed first (RFC 2104 §2). Everything derived is wiped.
#define MARTLET_HASH(NAME, CTX, INIT, UPDATE, FINAL, BLOCK, LENGTH)                                                   \
    static inline void martlet_digest_##NAME(const void *data, size_t data_length, unsigned char *output) {           \
        CTX work;                                                                                                     \
        INIT(&work);                                                                                                  \
        UPDATE(&work, data, data_length);                                                                             \
        FINAL(output, &work);                                                                                         \
        OPENSSL_cleanse(&work, sizeof work);                                                                          \
    }                                                                                                                 \
    static inline void martlet_hmac_begin_##NAME(const void *key, size_t key_length, CTX *inner, CTX *outer) {        \
        unsigned char block[BLOCK] = {0}, pad[BLOCK];                                                                 \
        size_t i;                                                                                                     \
        if (key_length > BLOCK) {                                                                                     \
            martlet_digest_##NAME(key, key_length, block);                                                            \
        } else if (key_length > 0) {                                                                                  \
            memcpy(block, key, key_length);                                                                           \
        }                                                                                                             \
        for (i = 0; i < BLOCK; i++) pad[i] = block[i] ^ 0x36;                                                         \
        INIT(inner);                                                                                                  \
        UPDATE(inner, pad, BLOCK);                                                                                    \
        for (i = 0; i < BLOCK; i++) pad[i] = block[i] ^ 0x5C;                                                         \
        INIT(outer);                                                                                                  \
        UPDATE(outer, pad, BLOCK);                                                                                    \
        OPENSSL_cleanse(block, sizeof block);                                                                         \
        OPENSSL_cleanse(pad, sizeof pad);                                                                             \
    }                                                                                                                 \
    static inline void martlet_hmac_##NAME(const void *key, size_t key_length, const void *data, size_t data_length,  \
                                           unsigned char *output) {                                                   \
        CTX inner, outer;                                                                                             \
        martlet_hmac_begin_##NAME(key, key_length, &inner, &outer);                                                   \
        UPDATE(&inner, data, data_length);                                                                            \
        FINAL(output, &inner);                                                                                        \
        UPDATE(&outer, output, LENGTH);                                                                               \
        FINAL(output, &outer);                                                                                        \
        OPENSSL_cleanse(&inner, sizeof inner);                                                                        \
        OPENSSL_cleanse(&outer, sizeof outer);                                                                        \
    }                                                                                                                 \
    static inline void martlet_pbkdf2_##NAME(const void *password, size_t password_length, const void *salt,          \
                                             size_t salt_length, unsigned long iterations, unsigned char *output) {   \
        static const unsigned char one[4] = {0, 0, 0, 1};                                                             \
        unsigned char u[LENGTH];                                                                                      \
        CTX inner, outer, work;                                                                                       \
        size_t i;                                                                                                     \
        martlet_hmac_begin_##NAME(password, password_length, &inner, &outer);                                         \
        work = inner;                                                                                                 \
        UPDATE(&work, salt, salt_length);                                                                             \
        UPDATE(&work, one, sizeof one);                                                                               \
        FINAL(u, &work);                                                                                              \
        work = outer;                                                                                                 \
        UPDATE(&work, u, LENGTH);                                                                                     \
        FINAL(u, &work);                                                                                              \
        memcpy(output, u, LENGTH);                                                                                    \
        while (--iterations > 0) {                                                                                    \
            work = inner;                                                                                             \
            UPDATE(&work, u, LENGTH);                                                                                 \
            FINAL(u, &work);                                                                                          \
            work = outer;                                                                                             \
            UPDATE(&work, u, LENGTH);                                                                                 \
            FINAL(u, &work);                                                                                          \
            for (i = 0; i < LENGTH; i++) output[i] ^= u[i];                                                           \
        }                                                                                                             \
        OPENSSL_cleanse(u, sizeof u);                                                                                 \
        OPENSSL_cleanse(&inner, sizeof inner);                                                                        \
        OPENSSL_cleanse(&outer, sizeof outer);                                                                        \
        OPENSSL_cleanse(&work, sizeof work);                                                                          \
    }

MARTLET_HASH(sha1, SHA_CTX, SHA1_Init, SHA1_Update, SHA1_Final, SHA_CBLOCK, SHA_DIGEST_LENGTH)
MARTLET_HASH(sha256, SHA256_CTX, SHA256_Init, SHA256_Update, SHA256_Final, SHA256_CBLOCK, SHA256_DIGEST_LENGTH)
MARTLET_HASH(sha512, SHA512_CTX, SHA512_Init, SHA512_Update, SHA512_Final, SHA512_CBLOCK, SHA512_DIGEST_LENGTH)

// Stacks are macros, which Swift does not see. Borrowed certificates on a stack of their own, for the verification of a chain.
static inline void *martlet_x509_stack_new(void) { return sk_X509_new_null(); }
static inline void martlet_x509_stack_free(void *stack) { sk_X509_free((STACK_OF(X509) *)stack); }
static inline int martlet_x509_stack_push(void *stack, X509 *certificate) { return sk_X509_push((STACK_OF(X509) *)stack, certificate); }
static inline int martlet_x509_verify_init(X509_STORE_CTX *work, X509_STORE *store, X509 *leaf, void *others) {
    return X509_STORE_CTX_init(work, store, leaf, (STACK_OF(X509) *)others);
}
static inline int martlet_general_names_count(void *names) { return sk_GENERAL_NAME_num((GENERAL_NAMES *)names); }
static inline void martlet_general_names_free(void *names) { GENERAL_NAMES_free((GENERAL_NAMES *)names); }

// The type and the text of an otherName (RFC 5280 §4.2.1.6) whose value is a string. Returns 0 for any other name.
static inline int martlet_general_name_other(void *names, int index, char *type, int type_size, char *value, int value_size) {
    GENERAL_NAME *name = sk_GENERAL_NAME_value((GENERAL_NAMES *)names, index);
    if (name == NULL || name->type != GEN_OTHERNAME) return 0;
    ASN1_TYPE *inner = name->d.otherName->value;
    if (inner->type != V_ASN1_UTF8STRING && inner->type != V_ASN1_IA5STRING) return 0;
    int length = ASN1_STRING_length(inner->value.asn1_string);
    const unsigned char *text = ASN1_STRING_get0_data(inner->value.asn1_string);
    if (length < 0 || length >= value_size || memchr(text, 0, (size_t)length) != NULL) return 0;
    memcpy(value, text, (size_t)length);
    value[length] = 0;
    return OBJ_obj2txt(type, type_size, name->d.otherName->type_id, 1) > 0;
}
