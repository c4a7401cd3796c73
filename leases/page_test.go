package leases

import (
	"strings"
	"testing"
	"time"
)

func TestCheckPage(t *testing.T) {
	long := "https://a.example/" + strings.Repeat("x", longestPage)
	for page, fit := range map[string]bool{
		"https://a.example": true, "http://127.0.0.1:8081/": true, "https://[::1]:8081/a?b=c#d": true, "https://é.example/→": true,
		"HTTPS://a.example/": true, long[:longestPage]: true,
		"": false, "a.example": false, "//a.example/": false, "/a": false, "javascript:alert(1)": false, "JavaScript://a.example/%0aalert(1)": false,
		"data:text/html,x": false, "ftp://a.example": false, "https://": false, "https:///a": false, "https:a.example": false, "https://:80/": false,
		"https://user@a.example": false, "https://user:pass@a.example/": false, "https://a.example\\@b.example": false,
		"https://a.example/\nx": false, "https://a.example/ x": false, " https://a.example": false, "https://a.example/\u202ex": false,
		"https://a.example/\x00": false, "https://a.example/\xff": false, "https://[a": false, long[:longestPage+1]: false,
	} {
		err := CheckPage(page)
		if (err == nil) != fit {
			t.Errorf("%.60q: %v", page, err)
		}
		if shown := shownPage(page); fit && shown != page || !fit && shown != "" {
			t.Errorf("%.60q is shown as %.60q", page, shown)
		}
		if err != nil && len(page) > 3 && strings.Contains(err.Error(), page) {
			t.Errorf("the error repeats it: %v", err)
		}
	}
	if _, err := NewManager(DefaultConfig(), Deps{Store: NewStore(nil, "p"), Instance: "a", Page: "ftp://a"}); err == nil {
		t.Error("a host with a page that nobody would show is no error")
	}
}

// A page is that of one owner: whoever takes the lease without knowing of pages
// keeps the property, and what anybody may have written there is not shown.
func TestPageOfAnother(t *testing.T) {
	for value, page := range map[string]string{
		`"B https://b.example/"`: "https://b.example/", `"A https://a.example/"`: "", `"https://b.example/"`: "", `"B"`: "", `"B "`: "",
		`"B javascript:alert(1)"`: "", `"B  https://b.example/"`: "", `"B https://u:p@b.example/"`: "", `7`: "", `{"a":[]}`: "", `null`: "",
	} {
		d, err := decode([]byte(`{"id":"p..0","LeaseToken":"0","version":0,"Owner":"b","properties":{"opfeed.startId":"B b","opfeed.epoch":"1",
			"opfeed.page":`+value+`}}`), "etag")
		if err != nil || d.Page != page || d.StartID != "B" {
			t.Errorf("%s: page %q of %q, %v", value, d.Page, d.StartID, err)
		}
		body, err := d.encode()
		if err != nil || strings.Contains(string(body), "opfeed.page") != (page != "") {
			t.Errorf("%s: written as %s, %v", value, body, err)
		}
	}
	// .NET's host b took the lease of ours, whose name is a.
	d, err := decode([]byte(`{"id":"p..0","LeaseToken":"0","version":0,"Owner":"b","properties":{"opfeed.startId":"A a","opfeed.page":"A https://a.example/"}}`), "etag")
	if err != nil || d.Page != "" {
		t.Errorf("page %q, %v", d.Page, err)
	}
	free := Document{ID: "p..0", Token: "0", StartID: "A", Epoch: 1, Page: "https://a.example/"}
	if body, err := free.encode(); err != nil || strings.Contains(string(body), "page") {
		t.Errorf("a free lease: %s, %v", body, err)
	}
}

// Each host shows where the pages of the others are, whether they hold a lease or
// not, and after a change of hands that of the new owner.
func TestPagesOfHosts(t *testing.T) {
	inWorld(t, func(w *world) {
		w.oneRange()
		page := func(url string) func(*Config, *Deps) { return func(_ *Config, d *Deps) { d.Page = url } }
		a := w.process("a", page("https://a.example/"))
		a.start(nil)
		time.Sleep(10 * time.Second)
		b := w.process("b", page("https://b.example/"))
		b.start(nil)
		time.Sleep(10 * time.Second)
		for name, p := range map[string]*process{"a": a, "b": b} {
			if list := p.m.Snapshot(); len(list) != 1 || list[0].Owner != "a" || list[0].Page != "https://a.example/" {
				t.Errorf("%s shows %+v", name, list)
			}
		}
		hosts := a.m.Hosts()
		if len(hosts) != 1 || hosts[0].Instance != "b" || hosts[0].Page != "https://b.example/" {
			t.Errorf("a shows %+v", hosts)
		}
		if hosts := b.m.Hosts(); len(hosts) != 0 {
			t.Errorf("b shows %+v", hosts)
		}
		a.stop()
		if d := w.read("0"); strings.Contains(d.Page, "a.example") {
			t.Errorf("the page stays behind: %+v", d)
		}
		time.Sleep(10 * time.Second)
		if d := w.read("0"); d.Owner != "b" || d.Page != "https://b.example/" {
			t.Errorf("stored: %+v", d)
		}
		if list := b.m.Snapshot(); len(list) != 1 || list[0].Owner != "b" || list[0].Page != "https://b.example/" {
			t.Errorf("b shows %+v", list)
		}
		time.Sleep(time.Minute) // what a left is forgotten
		if hosts := b.m.Hosts(); len(hosts) != 0 {
			t.Errorf("b shows %+v", hosts)
		}
		b.stop()
	})
}
