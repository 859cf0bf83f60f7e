#include "CShimsICU.h"
#include <pthread.h>
#include <unicode/uchar.h>
#include <unicode/uidna.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/ustring.h>

const uint16_t martlet_icu_script_greek = USCRIPT_GREEK;
const uint16_t martlet_icu_script_han = USCRIPT_HAN;
const uint16_t martlet_icu_script_hebrew = USCRIPT_HEBREW;
const uint16_t martlet_icu_script_hiragana = USCRIPT_HIRAGANA;
const uint16_t martlet_icu_script_katakana = USCRIPT_KATAKANA;
const uint8_t martlet_icu_decomposition_wide = U_DT_WIDE;
const uint8_t martlet_icu_decomposition_narrow = U_DT_NARROW;
const uint8_t martlet_icu_hangul_leading = U_HST_LEADING_JAMO;
const uint8_t martlet_icu_hangul_vowel = U_HST_VOWEL_JAMO;
const uint8_t martlet_icu_hangul_trailing = U_HST_TRAILING_JAMO;
const uint8_t martlet_icu_joining_left = U_JT_LEFT_JOINING;
const uint8_t martlet_icu_joining_right = U_JT_RIGHT_JOINING;
const uint8_t martlet_icu_joining_dual = U_JT_DUAL_JOINING;
const uint8_t martlet_icu_joining_transparent = U_JT_TRANSPARENT;

martlet_icu_properties martlet_icu_properties_of(uint32_t code_point) {
    UChar32 c = (UChar32)code_point;
    UErrorCode status = U_ZERO_ERROR;
    UScriptCode script = uscript_getScript(c, &status);
    martlet_icu_properties result = {
        .category = (uint8_t)u_charType(c),
        .direction = (uint8_t)u_charDirection(c),
        .joining = (uint8_t)u_getIntPropertyValue(c, UCHAR_JOINING_TYPE),
        .combining = u_getCombiningClass(c),
        .decomposition = (uint8_t)u_getIntPropertyValue(c, UCHAR_DECOMPOSITION_TYPE),
        .hangul = (uint8_t)u_getIntPropertyValue(c, UCHAR_HANGUL_SYLLABLE_TYPE),
        .ignorable = u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT) ? 1 : 0,
        .noncharacter = u_hasBinaryProperty(c, UCHAR_NONCHARACTER_CODE_POINT) ? 1 : 0,
        .whitespace = u_hasBinaryProperty(c, UCHAR_WHITE_SPACE) ? 1 : 0,
        .script = U_SUCCESS(status) && script >= 0 ? (uint16_t)script : 0,
    };
    return result;
}

static int32_t normalize(
    const UNormalizer2 *(*instance)(UErrorCode *), const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity) {
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *normalizer = instance(&status);
    if (U_FAILURE(status)) return -1;
    int32_t written = unorm2_normalize(normalizer, source, length, target, capacity, &status);
    return U_SUCCESS(status) ? written : -1;
}

int32_t martlet_icu_nfc(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity) {
    return normalize(unorm2_getNFCInstance, source, length, target, capacity);
}

int32_t martlet_icu_nfkc(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity) {
    return normalize(unorm2_getNFKCInstance, source, length, target, capacity);
}

int martlet_icu_is_nfkc(uint32_t code_point) {
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *normalizer = unorm2_getNFKCInstance(&status);
    UChar units[U16_MAX_LENGTH];
    int32_t length = 0;
    UBool failed = 0;
    U16_APPEND(units, length, U16_MAX_LENGTH, code_point, failed);
    if (U_FAILURE(status) || failed) return 0;
    UBool result = unorm2_isNormalized(normalizer, units, length, &status);
    return U_SUCCESS(status) && result;
}

int32_t martlet_icu_lower(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity) {
    UErrorCode status = U_ZERO_ERROR;
    int32_t written = u_strToLower(target, capacity, source, length, "", &status);
    return U_SUCCESS(status) ? written : -1;
}

int32_t martlet_icu_fold(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity) {
    UErrorCode status = U_ZERO_ERROR;
    int32_t written = u_strFoldCase(target, capacity, source, length, U_FOLD_CASE_DEFAULT, &status);
    return U_SUCCESS(status) ? written : -1;
}

int32_t martlet_icu_decomposition(uint32_t code_point, uint16_t *target, int32_t capacity) {
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *normalizer = unorm2_getNFKCInstance(&status);
    if (U_FAILURE(status)) return -1;
    int32_t written = unorm2_getRawDecomposition(normalizer, (UChar32)code_point, target, capacity, &status);
    if (U_FAILURE(status)) return -1;
    return written < 0 ? 0 : written;
}

// Opened once and never closed: ICU says an instance is immutable and may be used by all threads.
static UIDNA *idna;
static pthread_once_t idna_once = PTHREAD_ONCE_INIT;

static void open_idna(void) {
    UErrorCode status = U_ZERO_ERROR;
    UIDNA *opened = uidna_openUTS46(
        UIDNA_USE_STD3_RULES | UIDNA_CHECK_BIDI | UIDNA_CHECK_CONTEXTJ | UIDNA_CHECK_CONTEXTO | UIDNA_NONTRANSITIONAL_TO_ASCII
            | UIDNA_NONTRANSITIONAL_TO_UNICODE,
        &status);
    if (U_SUCCESS(status)) idna = opened;
}

int32_t martlet_icu_domain_to_unicode(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity) {
    pthread_once(&idna_once, open_idna);
    if (idna == NULL) return -1;
    UErrorCode status = U_ZERO_ERROR;
    UIDNAInfo info = UIDNA_INFO_INITIALIZER;
    int32_t written = uidna_nameToUnicode(idna, source, length, target, capacity, &info, &status);
    return U_SUCCESS(status) && info.errors == 0 ? written : -1;
}

int32_t martlet_icu_domain_to_ascii(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity) {
    pthread_once(&idna_once, open_idna);
    if (idna == NULL) return -1;
    UErrorCode status = U_ZERO_ERROR;
    UIDNAInfo info = UIDNA_INFO_INITIALIZER;
    int32_t written = uidna_nameToASCII(idna, source, length, target, capacity, &info, &status);
    return U_SUCCESS(status) && info.errors == 0 ? written : -1;
}

uint16_t martlet_icu_unicode_version(void) {
    UVersionInfo version;
    u_getUnicodeVersion(version);
    return (uint16_t)((version[0] << 8) | version[1]);
}
