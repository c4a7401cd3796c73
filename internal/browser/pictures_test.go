package browser_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var pictures = flag.String("pictures", "", "a folder for pictures of the page")

// TestPictures writes what docs/status-page.md shows, if asked to.
func TestPictures(t *testing.T) {
	if *pictures == "" {
		t.Skip("SKIPPED: writes pictures, only with -pictures")
	}
	s := serve(t, typical)
	p := start(t).open(t)
	for _, c := range []struct {
		name, scheme  string
		width, height int
		whole         bool
	}{
		{"light", "light", 1360, 1000, false}, {"dark", "dark", 1360, 1000, false},
		{"light-whole", "light", 1360, 1000, true}, {"phone", "light", 360, 740, true}, {"phone-dark", "dark", 360, 740, false},
		{"tablet", "dark", 820, 1100, true},
	} {
		p.size(c.width, c.height)
		p.scheme(c.scheme)
		p.visit(s.url())
		p.until(`document.querySelectorAll("#operations tbody").length === 50 && document.querySelector(".tile .line").hasAttribute("d")`)
		t.Log(c.name, eval[[]string](p, `[...document.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5 && !e.closest(".sr, .skip, thead")).slice(0, 12).map((e) => e.tagName + "." + e.className + "#" + e.id + " " + e.getBoundingClientRect().right)`),
			eval[int](p, `document.documentElement.scrollWidth`))
		if err := os.WriteFile(filepath.Join(*pictures, c.name+".png"), p.picture(c.whole), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(p.wrong())
}
