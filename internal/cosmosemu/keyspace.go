package cosmosemu

import (
	"fmt"
	"strconv"
	"strings"

	"opfeed/internal/epk"
)

// Where to cut is computed with the first 8 bytes of keys.

// keySpace is where the keys that occur end: "40".
const keySpace = 1 << 62

const keyDigits = 16 // of 8 bytes

// formatKey writes a place in the key space without trailing zeros.
func formatKey(place uint64) string {
	text := fmt.Sprintf("%0*X", keyDigits, place)
	for strings.HasSuffix(text, "00") {
		text = text[:len(text)-2]
	}
	return text
}

// parseKey returns the place of a key, rounded down, and false if it is not
// made of pairs of upper-case hex digits.
func parseKey(key string) (uint64, bool) {
	if len(key)%2 != 0 || strings.Trim(key, "0123456789ABCDEF") != "" {
		return 0, false
	}
	padded := key + strings.Repeat("0", keyDigits)
	place, err := strconv.ParseUint(padded[:keyDigits], 16, 64)
	return place, err == nil
}

// middleKey is halfway between two keys, of those that occur.
func middleKey(low, high string) string {
	from, _ := parseKey(low)
	to, _ := parseKey(high)
	if high == epk.Max {
		to = keySpace
	}
	return formatKey(from/2 + to/2)
}
