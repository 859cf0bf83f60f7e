#pragma once
#include <stdint.h>
#include <stddef.h>

// ICU's functions are macros that carry its version, which Swift cannot call: these give the few that JID preparation needs.
// Strings are UTF-16 with a length. A function that writes one returns its length, or -1 when it does not fit or ICU refuses.

/// Unicode properties of one code point. The numbers are ICU's enumerators; those that matter are constants below.
typedef struct {
    uint8_t category;       ///< General_Category
    uint8_t direction;      ///< Bidi_Class
    uint8_t joining;        ///< Joining_Type
    uint8_t combining;      ///< Canonical_Combining_Class
    uint8_t decomposition;  ///< Decomposition_Type
    uint8_t hangul;         ///< Hangul_Syllable_Type
    uint8_t ignorable;      ///< Default_Ignorable_Code_Point
    uint8_t noncharacter;   ///< Noncharacter_Code_Point
    uint8_t whitespace;     ///< White_Space
    uint16_t script;        ///< Script
} martlet_icu_properties;

/// The properties of a code point; all code points up to 0x10FFFF are allowed.
martlet_icu_properties martlet_icu_properties_of(uint32_t code_point);

extern const uint16_t martlet_icu_script_greek, martlet_icu_script_han, martlet_icu_script_hebrew, martlet_icu_script_hiragana,
    martlet_icu_script_katakana;
extern const uint8_t martlet_icu_decomposition_wide, martlet_icu_decomposition_narrow;
extern const uint8_t martlet_icu_hangul_leading, martlet_icu_hangul_vowel, martlet_icu_hangul_trailing;
extern const uint8_t martlet_icu_joining_left, martlet_icu_joining_right, martlet_icu_joining_dual, martlet_icu_joining_transparent;

/// Normalization Form C.
int32_t martlet_icu_nfc(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity);
/// Whether Normalization Form KC leaves the code point alone as it is.
int martlet_icu_is_nfkc(uint32_t code_point);
/// Normalization Form KC.
int32_t martlet_icu_nfkc(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity);
/// Lower case by the root locale.
int32_t martlet_icu_lower(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity);
/// Default case folding.
int32_t martlet_icu_fold(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity);
/// The Decomposition_Mapping of a code point; 0 when it has none.
int32_t martlet_icu_decomposition(uint32_t code_point, uint16_t *target, int32_t capacity);
/// A domain name to U-labels (UTS 46, non-transitional, STD3, Bidi, ContextJ and ContextO checked); -1 when any label has an error.
int32_t martlet_icu_domain_to_unicode(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity);
/// The same to A-labels: also checks the lengths of labels and name.
int32_t martlet_icu_domain_to_ascii(const uint16_t *source, int32_t length, uint16_t *target, int32_t capacity);
/// The Unicode version of the tables, e.g. 15.0 as 0x0F00.
uint16_t martlet_icu_unicode_version(void);
