// The ciphers of SRTP by OpenSSL: AES in counter mode and HMAC-SHA1 (RFC 3711). Debian's libsrtp2 takes them from NSS, which
// costs 6 to 7 us a packet (measured, 160 bytes), more than all else that a call's media does; OpenSSL takes 2. libsrtp lets
// them be replaced (srtp2/cipher.h, srtp2/auth.h), and tries those that come with its own test of known answers.
//
// What is done with keys, sequence numbers and replays stays libsrtp's.

#ifndef OFFHOOK_SRTP_KERNEL_HPP
#define OFFHOOK_SRTP_KERNEL_HPP

#include <cstdint>
#include <cstring>
#include <new>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <srtp2/auth.h>
#include <srtp2/cipher.h>
#include <srtp2/srtp.h>

namespace offhook {
namespace srtp_kernel {

constexpr int SALT = 14;
constexpr int BLOCK = 16;

// --- AES in counter mode (section 4.1.1)

struct Icm {
    srtp_cipher_t cipher{};
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t offset[BLOCK] = {};

    ~Icm() { EVP_CIPHER_CTX_free(context); }
};

// Ours, made once: looking a cipher up costs more than to encrypt a packet. Lengths are those of a key with its salt.
inline const EVP_CIPHER *aes(int key_len) {
    static EVP_CIPHER *const small = EVP_CIPHER_fetch(nullptr, "AES-128-CTR", nullptr);
    static EVP_CIPHER *const large = EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr);
    return key_len == SRTP_AES_ICM_128_KEY_LEN_WSALT ? small : large;
}

extern const srtp_cipher_type_t ICM_128, ICM_256;

inline srtp_err_status_t icm_alloc(srtp_cipher_t **cipher, int key_len, int) {
    if (key_len != SRTP_AES_ICM_128_KEY_LEN_WSALT && key_len != SRTP_AES_ICM_256_KEY_LEN_WSALT)
        return srtp_err_status_bad_param;
    Icm *icm = new (std::nothrow) Icm;
    if (!icm || !icm->context) {
        delete icm;
        return srtp_err_status_alloc_fail;
    }
    const bool small = key_len == SRTP_AES_ICM_128_KEY_LEN_WSALT;
    icm->cipher.type = small ? &ICM_128 : &ICM_256;
    icm->cipher.algorithm = small ? SRTP_AES_ICM_128 : SRTP_AES_ICM_256;
    icm->cipher.key_len = key_len;
    icm->cipher.state = icm;
    *cipher = &icm->cipher;
    return srtp_err_status_ok;
}

inline srtp_err_status_t icm_dealloc(srtp_cipher_t *cipher) {
    delete static_cast<Icm *>(cipher->state); // OpenSSL wipes the key
    return srtp_err_status_ok;
}

inline srtp_err_status_t icm_init(void *state, const uint8_t *key) {
    Icm *icm = static_cast<Icm *>(state);
    const int length = icm->cipher.key_len;
    std::memcpy(icm->offset, key + length - SALT, SALT);
    const EVP_CIPHER *how = aes(length);
    return how && EVP_EncryptInit_ex2(icm->context, how, key, nullptr, nullptr) ? srtp_err_status_ok
                                                                                 : srtp_err_status_init_fail;
}

inline srtp_err_status_t icm_set_iv(void *state, uint8_t *iv, srtp_cipher_direction_t) {
    Icm *icm = static_cast<Icm *>(state);
    uint8_t counter[BLOCK];
    for (int at = 0; at < BLOCK; ++at)
        counter[at] = icm->offset[at] ^ iv[at];
    return EVP_EncryptInit_ex2(icm->context, nullptr, nullptr, counter, nullptr) ? srtp_err_status_ok
                                                                                 : srtp_err_status_cipher_fail;
}

inline srtp_err_status_t icm_encrypt(void *state, uint8_t *buffer, unsigned int *length) {
    int done = 0;
    if (!EVP_EncryptUpdate(static_cast<Icm *>(state)->context, buffer, &done, buffer, static_cast<int>(*length)))
        return srtp_err_status_cipher_fail;
    *length = static_cast<unsigned int>(done);
    return srtp_err_status_ok;
}

// --- HMAC-SHA1 (section 4.2.1)

struct Hmac {
    srtp_auth_t auth{};
    EVP_MAC_CTX *context = nullptr;

    ~Hmac() { EVP_MAC_CTX_free(context); }
};

constexpr int SHA1 = 20;

extern const srtp_auth_type_t HMAC_SHA1;

inline srtp_err_status_t hmac_alloc(srtp_auth_t **auth, int key_len, int out_len) {
    static EVP_MAC *const how = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    if (key_len > SHA1 || out_len > SHA1)
        return srtp_err_status_bad_param;
    Hmac *hmac = new (std::nothrow) Hmac;
    if (hmac && how)
        hmac->context = EVP_MAC_CTX_new(how);
    if (!hmac || !hmac->context) {
        delete hmac;
        return srtp_err_status_alloc_fail;
    }
    hmac->auth.type = &HMAC_SHA1;
    hmac->auth.state = hmac;
    hmac->auth.out_len = out_len;
    hmac->auth.key_len = key_len;
    *auth = &hmac->auth;
    return srtp_err_status_ok;
}

inline srtp_err_status_t hmac_dealloc(srtp_auth_t *auth) {
    delete static_cast<Hmac *>(auth->state);
    return srtp_err_status_ok;
}

inline srtp_err_status_t hmac_init(void *state, const uint8_t *key, int key_len) {
    char digest[] = "SHA1";
    const OSSL_PARAM with[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               OSSL_PARAM_construct_end()};
    return EVP_MAC_init(static_cast<Hmac *>(state)->context, key, static_cast<size_t>(key_len), with)
               ? srtp_err_status_ok
               : srtp_err_status_auth_fail;
}

inline srtp_err_status_t hmac_start(void *state) { // anew with the same key
    return EVP_MAC_init(static_cast<Hmac *>(state)->context, nullptr, 0, nullptr) ? srtp_err_status_ok
                                                                                 : srtp_err_status_auth_fail;
}

inline srtp_err_status_t hmac_update(void *state, const uint8_t *data, int length) {
    return EVP_MAC_update(static_cast<Hmac *>(state)->context, data, static_cast<size_t>(length))
               ? srtp_err_status_ok
               : srtp_err_status_auth_fail;
}

inline srtp_err_status_t hmac_compute(void *state, const uint8_t *data, int length, int tag_len, uint8_t *tag) {
    uint8_t whole[SHA1];
    size_t size = 0;
    if (hmac_update(state, data, length) != srtp_err_status_ok ||
        !EVP_MAC_final(static_cast<Hmac *>(state)->context, whole, &size, sizeof whole) || size < size_t(tag_len))
        return srtp_err_status_auth_fail;
    std::memcpy(tag, whole, static_cast<size_t>(tag_len));
    return srtp_err_status_ok;
}

// --- known answers, which libsrtp tries before it takes them

// RFC 3711, B.2; the key of 256 bits: RFC 6188, 7.1.
const uint8_t KEY_128[] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f,
                           0x3c, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd};
const uint8_t KEY_256[] = {0x57, 0xf8, 0x2f, 0xe3, 0x61, 0x3f, 0xd1, 0x70, 0xa8, 0x5e, 0xc9, 0x3c,
                           0x40, 0xb1, 0xf0, 0x92, 0x2e, 0xc4, 0xcb, 0x0d, 0xc0, 0x25, 0xb5, 0x82,
                           0x72, 0x14, 0x7c, 0xc4, 0x38, 0x94, 0x4a, 0x98, 0xf0, 0xf1, 0xf2, 0xf3,
                           0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd};
const uint8_t STREAM_128[] = {0xe0, 0x3e, 0xad, 0x09, 0x35, 0xc9, 0x5e, 0x80, 0xe1, 0x66, 0xb1, 0x6d, 0xd9, 0x2b, 0x4e, 0xb4,
                              0xd2, 0x35, 0x13, 0x16, 0x2b, 0x02, 0xd0, 0xf7, 0x2a, 0x43, 0xa2, 0xfe, 0x4a, 0x5f, 0x97, 0xab};
const uint8_t STREAM_256[] = {0x92, 0xbd, 0xd2, 0x8a, 0x93, 0xc3, 0xf5, 0x25, 0x11, 0xc6, 0x77, 0xd0, 0x8b, 0x55, 0x15, 0xa4,
                              0x9d, 0xa7, 0x1b, 0x23, 0x78, 0xa8, 0x54, 0xf6, 0x70, 0x50, 0x75, 0x6d, 0xed, 0x16, 0x5b, 0xac};
const uint8_t ZEROS[32] = {};
uint8_t FIRST[16] = {};

// RFC 2202, case 1.
const uint8_t HMAC_KEY[] = {0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b,
                            0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b};
const uint8_t HMAC_TEXT[] = {0x48, 0x69, 0x20, 0x54, 0x68, 0x65, 0x72, 0x65};
const uint8_t HMAC_TAG[] = {0xb6, 0x17, 0x31, 0x86, 0x55, 0x05, 0x72, 0x64, 0xe2, 0x8b,
                            0xc0, 0xb6, 0xfb, 0x37, 0x8c, 0x8e, 0xf1, 0x46, 0xbe, 0x00};

const srtp_cipher_test_case_t ICM_128_KNOWN = {sizeof KEY_128, KEY_128, FIRST, 32,      ZEROS, 32,
                                               STREAM_128,     0,       nullptr, 0, nullptr};
const srtp_cipher_test_case_t ICM_256_KNOWN = {sizeof KEY_256, KEY_256, FIRST, 32,      ZEROS, 32,
                                               STREAM_256,     0,       nullptr, 0, nullptr};
const srtp_auth_test_case_t HMAC_KNOWN = {sizeof HMAC_KEY, HMAC_KEY, sizeof HMAC_TEXT, HMAC_TEXT,
                                          sizeof HMAC_TAG, HMAC_TAG, nullptr};

const srtp_cipher_type_t ICM_128 = {icm_alloc,  icm_dealloc, icm_init,        nullptr,        icm_encrypt,     icm_encrypt,
                                    icm_set_iv, nullptr,     "AES-128 by OpenSSL", &ICM_128_KNOWN, SRTP_AES_ICM_128};
const srtp_cipher_type_t ICM_256 = {icm_alloc,  icm_dealloc, icm_init,        nullptr,        icm_encrypt,     icm_encrypt,
                                    icm_set_iv, nullptr,     "AES-256 by OpenSSL", &ICM_256_KNOWN, SRTP_AES_ICM_256};
const srtp_auth_type_t HMAC_SHA1 = {hmac_alloc,  hmac_dealloc, hmac_init,           hmac_compute, hmac_update,
                                    hmac_start, "HMAC-SHA1 by OpenSSL", &HMAC_KNOWN,  SRTP_HMAC_SHA1};

} // namespace srtp_kernel

// Have libsrtp take these for the sessions that begin from now on. False where it does not, and keeps its own. It has to
// have been started, as pjsua's libInit does; a second srtp_init is an error there.
inline bool srtp_by_openssl() {
    using namespace srtp_kernel;
    return srtp_replace_cipher_type(&ICM_128, SRTP_AES_ICM_128) == srtp_err_status_ok &&
           srtp_replace_cipher_type(&ICM_256, SRTP_AES_ICM_256) == srtp_err_status_ok &&
           srtp_replace_auth_type(&HMAC_SHA1, SRTP_HMAC_SHA1) == srtp_err_status_ok;
}

} // namespace offhook

#endif
