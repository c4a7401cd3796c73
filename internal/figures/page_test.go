package figures_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A page holds what was measured between two comments, so that the rest is prose
// and can be written by hand.
func marks(name string) (begin, end string) {
	return "<!-- measured: " + name + " -->\n", "<!-- end of " + name + " -->\n"
}

// readBlock returns what a page holds of one measurement.
func readBlock(t *testing.T, page, name string) string {
	t.Helper()
	_, block, _ := cut(t, page, name)
	return block
}

// writeBlock puts a new measurement into a page.
func writeBlock(t *testing.T, page, name, block string) {
	t.Helper()
	before, _, after := cut(t, page, name)
	if err := os.WriteFile(page, []byte(before+block+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, page, name string) (before, block, after string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := marks(name)
	i, j := strings.Index(string(text), begin), strings.Index(string(text), end)
	if i < 0 || j < i {
		t.Fatalf("%s has no place for what is measured of %s", page, name)
	}
	i += len(begin)
	return string(text[:i]), string(text[i:j]), string(text[j:])
}

var number = regexp.MustCompile(`\d+(\.\d+)?`)

// compareFigures holds the figures of a page to what was measured: the words must
// be the same, the numbers may differ by 5 %, or by what rare requests make of it.
func compareFigures(t *testing.T, page, have, want string) {
	t.Helper()
	if a, b := number.ReplaceAllString(have, "#"), number.ReplaceAllString(want, "#"); a != b {
		t.Errorf("%s says otherwise than what was measured; -figures.write writes it anew\nhave:\n%s\nwant:\n%s", page, have, want)
		return
	}
	haves, wants := number.FindAllString(have, -1), number.FindAllString(want, -1)
	for i := range wants {
		h, errH := strconv.ParseFloat(haves[i], 64)
		w, errW := strconv.ParseFloat(wants[i], 64)
		if errH != nil || errW != nil || math.Abs(h-w) > max(0.05*w, 0.011) {
			t.Errorf("%s says %s where %s was measured; -figures.write writes it anew", page, haves[i], wants[i])
		}
	}
}
