// Package epk computes effective partition keys: the position of a partition
// key value in a container's key space, which is cut into ranges that the
// physical partitions own.
//
// An effective partition key is a string of upper-case hex digits. The space is
// ["", "FF"); real keys are below "40", because the service clears the two top
// bits of the first byte. Keys may differ in length (hierarchical keys are 32
// digits per level), and a missing tail counts as zeros.
//
// Of computes version 2 of the hash, as V2 does. V1 is for containers made by old
// clients, or by new ones that leave the version out.
package epk

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"

	"github.com/twmb/murmur3"
)

// Min and Max bound the key space: every key is in [Min, Max).
const (
	Min = ""
	Max = "FF"
)

// Of returns the effective partition key of one string value: 32 digits.
func Of(partitionKey string) string {
	return V2(String(partitionKey))
}

// V2 returns the effective partition key of a value: 32 digits for each
// component. Several components belong to a hierarchical key (MultiHash); a
// prefix P of such a key covers the range [P, P+"FF"). No component gives "".
func V2(components ...Component) string {
	digits := make([]byte, 0, 32*len(components))
	var encoded []byte
	for _, component := range components {
		encoded = component.Append(encoded[:0])
		h1, h2 := murmur3.Sum128(encoded)
		var sum [16]byte
		binary.BigEndian.PutUint64(sum[:8], h2)
		binary.BigEndian.PutUint64(sum[8:], h1)
		sum[0] &= 0x3f
		digits = hex.AppendEncode(digits, sum[:])
	}
	return strings.ToUpper(string(digits))
}

// Contains reports whether key is in [minInclusive, maxExclusive). An empty
// maxExclusive means the end of the space, like Max.
func Contains(minInclusive, maxExclusive, key string) bool {
	if maxExclusive == "" {
		maxExclusive = Max
	}
	return Compare(minInclusive, key) <= 0 && Compare(key, maxExclusive) < 0
}

// Compare orders two keys: negative when a is before b, 0 when they are the
// same position. The shorter one is taken as padded with zeros, so "1F" and
// "1F00" are equal.
func Compare(a, b string) int {
	n := min(len(a), len(b))
	if c := strings.Compare(a[:n], b[:n]); c != 0 {
		return c
	}
	if strings.Trim(a[n:], "0") != "" {
		return 1
	}
	if strings.Trim(b[n:], "0") != "" {
		return -1
	}
	return 0
}

// Component is one level of a partition key value. The zero value is Undefined.
// Components are comparable.
type Component struct {
	kind   byte
	text   string
	number float64
}

// Undefined is the component of a document that lacks the property.
var Undefined = Component{kind: kindUndefined}

// Null is the component of a JSON null.
var Null = Component{kind: kindNull}

// String is the component of a JSON string.
func String(value string) Component { return Component{kind: kindString, text: value} }

// Number is the component of a JSON number. Negative zero is zero.
func Number(value float64) Component { return Component{kind: kindNumber, number: value + 0} }

// Bool is the component of a JSON boolean.
func Bool(value bool) Component {
	if value {
		return Component{kind: kindTrue}
	}
	return Component{kind: kindFalse}
}

// The first byte of an encoded component.
const (
	kindUndefined = 0x00
	kindNull      = 0x01
	kindFalse     = 0x02
	kindTrue      = 0x03
	kindNumber    = 0x05
	kindString    = 0x08

	stringEnd = 0xff // never part of UTF-8
)

// Append appends the bytes that are hashed. They are unambiguous and no
// encoding is a prefix of another, so they can serve as a map key, also for
// several components in a row.
func (c Component) Append(to []byte) []byte {
	to = append(to, c.kind)
	switch c.kind {
	case kindNumber:
		to = binary.LittleEndian.AppendUint64(to, math.Float64bits(c.number))
	case kindString:
		to = append(to, c.text...)
		to = append(to, stringEnd)
	}
	return to
}

// Text returns the value of a string component.
func (c Component) Text() (string, bool) { return c.text, c.kind == kindString }
