package epk

import (
	"encoding/hex"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/twmb/murmur3"
)

// V1 returns the effective partition key of one value in a container whose
// partition key has version 1: old containers, and those made by clients that
// leave the version out. It is the hash, written as a number, and the value.
func V1(c Component) string {
	if c.kind == kindString {
		c.text = truncated(c.text)
	}
	hash := murmur3.Sum32(c.appendV1(nil))
	key := Number(float64(hash)).appendOrdered(nil)
	return strings.ToUpper(hex.EncodeToString(c.appendOrdered(key)))
}

// longest is how many characters of a string count, as UTF-16 has them.
const longest = 100

func truncated(s string) string {
	units := 0
	for i, r := range s {
		if units++; r >= 1<<16 {
			units++
		}
		if units > longest {
			return s[:i]
		}
	}
	return s
}

// appendV1 appends the bytes that are hashed.
func (c Component) appendV1(to []byte) []byte {
	to = c.Append(to)
	if c.kind == kindString {
		to[len(to)-1] = 0
	}
	return to
}

// appendOrdered appends bytes that sort as the values do.
func (c Component) appendOrdered(to []byte) []byte {
	to = append(to, c.kind)
	switch c.kind {
	case kindNumber:
		return appendNumber(to, c.number)
	case kindString:
		return appendString(to, c.text)
	default:
		return to
	}
}

// appendNumber: eight bits, then seven in each byte, whose last bit says that
// there are more.
func appendNumber(to []byte, number float64) []byte {
	const sign = 1 << 63
	bits := math.Float64bits(number)
	if bits < sign {
		bits ^= sign
	} else {
		bits = -bits
	}
	to = append(to, byte(bits>>56))
	bits <<= 8
	for {
		b := byte(bits>>56) &^ 1
		bits <<= 7
		if bits == 0 {
			return append(to, b)
		}
		to = append(to, b|1)
	}
}

// appendString: each byte is one more than it was, so that the end is less than
// any; what is longer has none.
func appendString(to []byte, s string) []byte {
	end := len(s) <= longest
	for i := range min(len(s), longest+1) {
		to = append(to, s[i]+1)
	}
	if end {
		to = append(to, 0)
	}
	return to
}

// Known says whether the bytes that the service hashes of a string are known: text
// that is no valid Unicode reaches us as the replacement character.
func Known(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, utf8.RuneError) }
