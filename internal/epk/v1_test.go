package epk

import (
	"strings"
	"testing"

	"github.com/twmb/murmur3"
)

// The whole keys are the JavaScript SDK's and .NET's; of others the hashes are
// known, from the baselines of azcosmos, which agree with those of .NET.
func TestV1(t *testing.T) {
	if got, want := V1(String("a")), "05C1D78593652C086200"; got != want {
		t.Errorf("key of a: %s, want %s", got, want)
	}
	for text, want := range map[string]uint32{
		"":                       0x3CCCB0FF,
		"asdf":                   0xB02BABC2,
		strings.Repeat("a", 99):  0xCCC122D9,
		strings.Repeat("a", 100): 0xD5843D83,
	} {
		if got := murmur3.Sum32(String(text).appendV1(nil)); got != want {
			t.Errorf("hash of %d characters: %08X, want %08X", len(text), got, want)
		}
	}
}

func TestV1OfEveryKind(t *testing.T) {
	for name, c := range map[string]Component{
		"05C1": String(strings.Repeat("ä", 300)), "null": Null, "true": Bool(true), "undefined": Undefined,
		"number": Number(-1.5), "zero": Number(0), "large": Number(1e300),
	} {
		if key := V1(c); Compare(key, Min) <= 0 || Compare(key, Max) >= 0 || !strings.HasPrefix(key, "05") {
			t.Errorf("key of %s: %s", name, key)
		}
	}
	// What is cut off makes no difference, and what is not does.
	long := strings.Repeat("x", 99)
	if V1(String(long+"a1")) != V1(String(long+"a2")) || V1(String(long+"a")) == V1(String(long+"b")) {
		t.Error("the keys of long strings do not end after 100 characters")
	}
	if got := truncated(strings.Repeat("😀", 60)); got != strings.Repeat("😀", 50) {
		t.Errorf("truncated to %d bytes", len(got))
	}
}
