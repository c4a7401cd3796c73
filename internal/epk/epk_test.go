package epk_test

import (
	"math"
	"strings"
	"testing"

	"opfeed/internal/epk"
)

// The values are those of azcosmos and of the JavaScript SDK.
func TestV2(t *testing.T) {
	for _, test := range []struct {
		name       string
		components []epk.Component
		want       string
	}{
		{"string", []epk.Component{epk.String("a")}, "3A5381E1114EB8D3FCC90795045B49B7"},
		{"empty string", []epk.Component{epk.String("")}, "32E9366E637A71B4E710384B2F4970A0"},
		{"undefined", []epk.Component{epk.Undefined}, "11622DAA78F835834610ABE56EFF5CB5"},
		{"zero value", []epk.Component{{}}, "11622DAA78F835834610ABE56EFF5CB5"},
		{"null", []epk.Component{epk.Null}, "378867E4430E67857ACE5C908374FE16"},
		{"true", []epk.Component{epk.Bool(true)}, "0E711127C5B5A8E4726AC6DD306A3E59"},
		{"number", []epk.Component{epk.Number(-0.5)}, "04C8191FC18308BCB37FDA5DCC5C9768"},
		{
			"hierarchical", []epk.Component{epk.String("a"), epk.String("b")},
			"3A5381E1114EB8D3FCC90795045B49B7" + "195644569A78B1E22D200348AF9416CE",
		},
		{"nothing", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := epk.V2(test.components...); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if got, want := epk.Of("a"), "3A5381E1114EB8D3FCC90795045B49B7"; got != want {
		t.Errorf("Of: got %s, want %s", got, want)
	}
	if epk.V2(epk.Bool(false)) == epk.V2(epk.Bool(true)) {
		t.Error("false and true have the same key")
	}
	if epk.V2(epk.Number(math.Copysign(0, -1))) != epk.V2(epk.Number(0)) {
		t.Error("negative zero has a key of its own")
	}
}

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "00", 0},
		{"", "01", -1},
		{"1F", "1F00", 0},
		{"1F", "1F0001", -1},
		{"1F0001", "1F", 1},
		{"1F", "20", -1},
		{"3FFFFFFF", "FF", -1},
		{"FF", "", 1},
	} {
		if got := epk.Compare(test.a, test.b); got != test.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestContains(t *testing.T) {
	for _, test := range []struct {
		low, high, key string
		want           bool
	}{
		{"", "FF", epk.Of("anything"), true},
		{"", "", epk.Of("anything"), true},
		{"", "20", "1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", true},
		{"", "20", "20000000000000000000000000000000", false},
		{"20", "FF", "20000000000000000000000000000000", true},
		{"20", "FF", "1F", false},
		{"20", "20", "20", false},
	} {
		if got := epk.Contains(test.low, test.high, test.key); got != test.want {
			t.Errorf("Contains(%q, %q, %q) = %t, want %t", test.low, test.high, test.key, got, test.want)
		}
	}
}

// FuzzCompare holds Compare against its definition, padding with zeros, and
// every cut of the key space against Contains: a key is in exactly one half.
func FuzzCompare(f *testing.F) {
	f.Add("", "FF", "1F")
	f.Add("1F00", "1F", "3A5381E1114EB8D3FCC90795045B49B7")
	f.Add("05C1", "05C10", "05C100000000000001")
	f.Fuzz(func(t *testing.T, a, b, value string) {
		width := max(len(a), len(b))
		padded := strings.Compare(a+strings.Repeat("0", width-len(a)), b+strings.Repeat("0", width-len(b)))
		// A digit below '0' would be ordered before the padding: not hex.
		if isHex(a) && isHex(b) && epk.Compare(a, b) != padded {
			t.Errorf("Compare(%q, %q) = %d, padded %d", a, b, epk.Compare(a, b), padded)
		}
		if epk.Compare(a, b) != -epk.Compare(b, a) {
			t.Errorf("Compare(%q, %q) depends on the order", a, b)
		}
		key := epk.Of(value)
		if len(key) != 32 || !isHex(key) || key >= "40" {
			t.Fatalf("Of(%q) = %q", value, key)
		}
		if !isHex(a) || epk.Compare(a, epk.Max) >= 0 || a == "" {
			return
		}
		left, right := epk.Contains(epk.Min, a, key), epk.Contains(a, epk.Max, key)
		if left == right {
			t.Errorf("cut at %q: key %s is in the left half: %t, in the right half: %t", a, key, left, right)
		}
	})
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789ABCDEF") == ""
}
