package leases

import (
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func feedRangeOf(minimum, maximum string) azcosmos.FeedRange {
	return azcosmos.FeedRange{MinInclusive: minimum, MaxExclusive: maximum}
}

func TestCover(t *testing.T) {
	lease := func(token, minimum, maximum string) Document {
		return Document{ID: "p.." + token, Token: token, Range: feedRangeOf(minimum, maximum)}
	}
	dotnet := func(minimum, maximum, owner string) Document {
		d := lease(minimum+"-"+maximum, minimum, maximum)
		d.Version, d.Owner = VersionEPK, owner
		return d
	}
	with := func(d Document, edit func(*Document)) Document { edit(&d); return d }
	read := func(d *Document) { d.Continuation = at(7) }
	ours := func(d *Document) { d.Epoch = 1 }
	owned := func(d *Document) { d.Owner = "x" }
	odd := Document{ID: "p..1", Version: Unreadable}
	two := []Range{{Token: "1", Range: feedRangeOf("", "1FFF")}, {Token: "2", Range: feedRangeOf("1FFF", "FF")}}
	one, other := lease("1", "", "1FFF"), lease("2", "1FFF", "FF")
	parent, epk := with(lease("0", "", "FF"), read), func(low, high string) Document { return with(dotnet(low, high, ""), read) }
	const expiry = 10 * time.Second
	for name, test := range map[string]struct {
		list     []Document
		age      time.Duration // of the documents as they are
		create   string        // and other tokens, in order
		replace  string
		wait     string
		current  string
		outdated string
		surplus  string
		// next is what replacing the first outdated or surplus lease creates or,
		// with an equals sign, replaces.
		next string
	}{
		"none": {create: "1 2"},
		"all":  {list: []Document{one, other}, current: "1 2"},
		"one":  {list: []Document{other}, current: "2", create: "1"},

		"split":                        {list: []Document{parent}, outdated: "0", next: "1 2"},
		"split, ours, no position":     {list: []Document{with(lease("0", "", "FF"), ours)}, outdated: "0", next: "1 2"},
		"split in part":                {list: []Document{with(lease("0", "", "1FFF"), read), other}, outdated: "0", current: "2", next: "1"},
		"split, one child has a lease": {list: []Document{parent, with(other, read)}, outdated: "0", current: "2", next: "1"},
		"split, both children have":    {list: []Document{parent, with(one, read), with(other, read)}, surplus: "0", current: "1 2"},
		"split, child has no position": {list: []Document{parent, one, with(other, read)}, outdated: "0", current: "1 2"},
		"split, child is junk":         {list: []Document{parent, odd, with(other, read)}, outdated: "0", current: "2", next: "=1"},
		"split twice":                  {list: []Document{with(lease("9", "", "1FFF"), read), parent}, outdated: "9 0", next: "1"},
		"split twice, the older first": {list: []Document{parent, with(lease("9", "", "1FFF"), read)}, outdated: "0 9", next: "2"},
		"split twice, inner replaced":  {list: []Document{parent, with(lease("9", "", "1FFF"), read), with(one, read)}, outdated: "0", surplus: "9", current: "1", next: "2"},
		"split unevenly":               {list: []Document{with(lease("0", "", "20"), read), with(lease("9", "20", "FF"), read)}, outdated: "0 9", next: "1 1FFF-20"},

		"merged":                    {list: []Document{with(lease("5", "", "0A"), read), with(lease("6", "0A", "1FFF"), read), other}, outdated: "5 6", current: "2", next: "-0A"},
		"merged, one replaced":      {list: []Document{with(lease("5", "", "0A"), read), epk("0A", "1FFF"), other}, outdated: "5", current: "0A-1FFF 2", next: "-0A"},
		"merged, made, not deleted": {list: []Document{with(lease("5", "", "0A"), read), epk("", "0A"), epk("0A", "1FFF"), other}, surplus: "5", current: "-0A 0A-1FFF 2"},
		"merged, a part is missing": {list: []Document{epk("", "0A"), other}, current: "-0A 2", create: "0A-1FFF"},
		"merged, and whole beside":  {list: []Document{epk("", "0A"), epk("0A", "1FFF"), with(one, read), other}, current: "-0A 0A-1FFF 2", surplus: "1"},
		"merged, split again":       {list: []Document{epk("", "FF")}, outdated: "-FF", next: "1 2"},
		"merged, split elsewhere":   {list: []Document{epk("", "0A"), epk("0A", "FF")}, outdated: "0A-FF", current: "-0A", next: "0A-1FFF 2"},
		"equal, version 1 later":    {list: []Document{with(one, read), epk("", "1FFF"), other}, current: "1 2", surplus: "-1FFF"},
		"equal, one has a position": {list: []Document{one, epk("", "1FFF"), other}, current: "-1FFF 2", surplus: "1"},

		"junk with a wide range":    {list: []Document{lease("zzz", "", "FF")}, create: "1 2"},
		"junk with an owner":        {list: []Document{with(lease("zzz", "", "FF"), owned)}, create: "1 2"},
		"junk beside leases":        {list: []Document{with(lease("zzz", "", "FF"), read), with(one, read), with(other, read)}, current: "1 2", surplus: "zzz"},
		"junk of no range":          {list: []Document{with(lease("zzz", "20", "10"), read), one, other}, current: "1 2"},
		"junk beyond the end":       {list: []Document{with(lease("zzz", "", "FFF"), read), one, other}, current: "1 2"},
		"junk in small letters":     {list: []Document{epk("", "1fff"), one, other}, current: "1 2"},
		"a part, beside the whole":  {list: []Document{epk("", "0A"), with(one, read), other}, current: "1 2"},
		"parts that overlap":        {list: []Document{epk("", "0C"), epk("0A", "1FFF"), other}, current: "-0C 2", create: "0C-1FFF"},
		"under the id of another":   {list: []Document{with(one, func(d *Document) { d.ID = "p..junk" }), other}, current: "2", create: "1"},
		"token of another range":    {list: []Document{with(epk("", "0A"), func(d *Document) { d.Range = feedRangeOf("", "1FFF") }), other}, current: "2", create: "1"},
		"of a version to come":      {list: []Document{with(lease("junk", "", "FF"), func(d *Document) { d.Version, d.Owner = 7, "x" })}, create: "1 2"},
		".NET's, free":              {list: []Document{dotnet("", "1FFF", ""), other}, current: "-1FFF 2"},
		".NET's, renewed":           {list: []Document{dotnet("", "1FFF", "H"), other}, age: 17 * time.Second, current: "-1FFF 2"},
		".NET's, wide":              {list: []Document{dotnet("", "FF", "H")}, age: 17 * time.Second, outdated: "-FF", next: "1 2"},
		".NET's, wide, never read":  {list: []Document{dotnet("", "FF", "H")}, age: time.Minute, create: "1 2"},
		"unreadable":                {list: []Document{odd, other}, current: "2", wait: "1", age: expiry - 1},
		"unreadable for long":       {list: []Document{odd, other}, current: "2", replace: "1", age: expiry},
		"version to come in place":  {list: []Document{with(one, func(d *Document) { d.Version = 7 }), other}, current: "2", replace: "1", age: time.Minute},
		"other token in place":      {list: []Document{with(one, func(d *Document) { d.Token = "5" }), other}, current: "2", replace: "1", age: time.Minute},
		"part with junk in its way": {list: []Document{epk("", "0A"), other, {ID: "p..0A-1FFF", Version: Unreadable}}, current: "-0A 2", replace: "0A-1FFF", age: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			v := view{now: now, expiry: expiry, id: func(token string) string { return "p.." + token },
				list: test.list, since: map[string]time.Time{}, live: two, asked: true}
			for _, d := range v.list {
				v.since[d.ID] = now.Add(-test.age)
			}
			standing := map[standing][]Document{}
			var next string
			for i, s := range v.standings() {
				standing[s] = append(standing[s], v.list[i])
				if (s == outdated || s == surplus) && next == "" {
					next = "none"
					got := v.succession(v.list[i])
					if !got.done() {
						next = tokens(got.create)
					}
					if len(got.replace) > 0 {
						next += "=" + tokens(got.replace)
					}
					for _, d := range append(got.create, got.replace...) {
						if d.Continuation != v.list[i].Continuation || d.Epoch != v.list[i].Epoch {
							t.Errorf("%s does not begin where its parent ended: %+v", d.Token, d)
						}
					}
				}
			}
			of := func(list []repair) (leases []Document) {
				for _, r := range list {
					leases = append(leases, r.lease)
				}
				return leases
			}
			found := v.missing()
			wantNext := test.next
			if wantNext == "" && test.outdated+test.surplus != "" {
				wantNext = "none"
			}
			for what, pair := range map[string][2]string{
				"create": {tokens(found.create), test.create}, "replace": {tokens(of(found.replace)), test.replace},
				"wait": {tokens(of(found.wait)), test.wait}, "current": {tokens(standing[current]), test.current},
				"outdated": {tokens(standing[outdated]), test.outdated}, "surplus": {tokens(standing[surplus]), test.surplus},
				"next": {next, wantNext},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
				}
			}
			if plain := test.create+test.replace+test.wait+test.outdated+test.surplus == ""; plain != (v.unclear() == "") {
				t.Errorf("unclear: %q", v.unclear())
			}
		})
	}
}

func tokens(list []Document) string {
	var tokens []string
	for _, d := range list {
		tokens = append(tokens, d.Token)
	}
	return strings.Join(tokens, " ")
}

func TestCovered(t *testing.T) {
	for _, test := range []struct {
		r    azcosmos.FeedRange
		have []azcosmos.FeedRange
		want bool
	}{
		{whole, nil, false},
		{whole, []azcosmos.FeedRange{feedRangeOf("1FFF", ""), feedRangeOf("00", "1FFF00")}, true}, // open end, zeros
		{whole, []azcosmos.FeedRange{feedRangeOf("", "10"), feedRangeOf("11", "FF")}, false},
		{feedRangeOf("10", "20"), []azcosmos.FeedRange{feedRangeOf("", "15"), feedRangeOf("12", "30")}, true},
		{feedRangeOf("10", "20"), []azcosmos.FeedRange{feedRangeOf("11", "30")}, false},
	} {
		if got := covered(test.r, test.have); got != test.want {
			t.Errorf("%v in %v: %v", test.r, test.have, got)
		}
	}
}

// A repaired lease goes on from a position that is surely its own, and keeps
// what is not ours.
func TestRepair(t *testing.T) {
	r := Document{ID: "p..0", Token: "0", Range: feedRangeOf("", "FF"), Continuation: at(50)}
	for body, want := range map[string]string{
		`{"id":"p..0","foo":1}`: at(50),
		`{"id":"p..0","LeaseToken":"0","Owner":7,"ContinuationToken":"\"7\"","properties":{"opfeed.epoch":"3","a":"b"},"foo":{"x":1}}`: at(7),
		`{"id":"p..0","LeaseToken":"0","Owner":7,"ContinuationToken":"junk"}`:                                                          at(50),
		`{"id":"p..0","LeaseToken":"5","Owner":7,"ContinuationToken":"\"7\""}`:                                                         at(50),
		`{"id":"p..0","LeaseToken":"0","version":7,"Owner":7,"ContinuationToken":"\"7\""}`:                                             at(50),
		`{"id":"p..0","LeaseToken":"0","version":7,"ContinuationToken":"\"7\""}`:                                                       at(50),
	} {
		from, _ := decode([]byte(body), "e")
		d := repair{lease: r, from: from}.document()
		raw, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(raw, "e")
		if err != nil || back.Version != VersionRange0 || back.Token != "0" || back.Range != r.Range || back.Owner != "" || back.ETag != "e" {
			t.Errorf("%s became %s: %v", body, raw, err)
		}
		if back.Continuation != want {
			t.Errorf("%s goes on from %s, want %s", body, back.Continuation, want)
		}
		for _, part := range []string{`"foo":1`, `"a":"b"`, `"foo":{"x":1}`} {
			if strings.Contains(body, part) && !strings.Contains(string(raw), part) {
				t.Errorf("%s became %s", body, raw)
			}
		}
		if strings.Contains(body, `"3"`) && back.Epoch != 3 {
			t.Errorf("epoch %d", back.Epoch)
		}
	}
}
