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
	const expiry = 10 * time.Second
	for name, test := range map[string]struct {
		list                        []Document
		age                         time.Duration // of the documents as they are
		create, replace, wait, torn string
		lacking                     string // "" is none
		parents                     string // served though their range was split
	}{
		"none": {create: "1 2", lacking: "1 2"},
		"all":  {list: []Document{one, other}},
		"one":  {list: []Document{other}, create: "1", lacking: "1"},

		"split":                        {list: []Document{with(lease("0", "", "FF"), read)}, parents: "0"},
		"split, ours, no position":     {list: []Document{with(lease("0", "", "FF"), ours)}, parents: "0"},
		"split in part":                {list: []Document{with(lease("0", "", "1FFF"), read), other}, parents: "0"},
		"split, one child has a lease": {list: []Document{with(lease("0", "", "FF"), read), other}, create: "1", lacking: "1"},
		"split twice":                  {list: []Document{with(lease("0", "", "FF"), read), with(lease("9", "", "1FFF"), read)}, parents: "0"},
		"split twice, inner served":    {list: []Document{with(lease("0", "", "FF"), read), with(with(lease("9", "", "1FFF"), read), owned)}, age: 1, create: "2", lacking: "2", parents: "9"},
		"junk with a wide range":       {list: []Document{lease("zzz", "", "FF")}, create: "1 2", lacking: "1 2"},
		"junk with an owner":           {list: []Document{with(lease("zzz", "", "FF"), owned)}, age: expiry, create: "1 2", lacking: "1 2"},
		"junk beside leases":           {list: []Document{with(lease("zzz", "", "FF"), read), one, other}},
		"junk of half a range":         {list: []Document{with(lease("zzz", "", "10"), read), other}, create: "1", lacking: "1"},
		"merged, still served":         {list: []Document{with(lease("5", "", "0A"), owned), with(lease("6", "0A", "1FFF"), owned), other}, age: expiry - 1},
		"merged, served no more":       {list: []Document{with(lease("5", "", "0A"), owned), with(lease("6", "0A", "1FFF"), owned), other}, age: expiry, create: "1", lacking: "1"},
		"under the id of another":      {list: []Document{with(one, func(d *Document) { d.ID = "p..junk" }), other}, create: "1", lacking: "1"},
		"of a version to come":         {list: []Document{with(lease("junk", "", "FF"), func(d *Document) { d.Version, d.Owner = 7, "x" })}, create: "1 2", lacking: "1 2"},
		".NET's, free":                 {list: []Document{dotnet("", "1FFF", ""), other}, create: "1", lacking: "1"},
		".NET's, renewed":              {list: []Document{dotnet("", "1FFF", "H"), other}, age: 17 * time.Second},
		".NET's, dead":                 {list: []Document{dotnet("", "1FFF", "H"), other}, age: time.Minute, create: "1", lacking: "1"},
		".NET's, of a part":            {list: []Document{dotnet("", "10", "H"), other}, torn: "1", lacking: "1"},
		".NET's, dead, of a part":      {list: []Document{dotnet("", "10", "H"), other}, age: time.Minute, create: "1", lacking: "1"},
		"unreadable":                   {list: []Document{odd, other}, wait: "1", lacking: "1", age: expiry - 1},
		"unreadable for long":          {list: []Document{odd, other}, replace: "1", lacking: "1", age: expiry},
		"unreadable, parent there":     {list: []Document{odd, with(lease("0", "", "FF"), read)}, parents: "0", age: expiry},
		"version to come in place":     {list: []Document{with(one, func(d *Document) { d.Version = 7 }), other}, replace: "1", lacking: "1", age: time.Minute},
		"other token in place":         {list: []Document{with(one, func(d *Document) { d.Token = "5" }), other}, replace: "1", lacking: "1", age: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			v := view{now: now, expiry: expiry, id: func(token string) string { return "p.." + token },
				list: test.list, since: map[string]time.Time{}, live: two, asked: true}
			for _, d := range v.list {
				v.since[d.ID] = now.Add(-test.age)
			}
			of := func(list []repair) (ranges []Range) {
				for _, r := range list {
					ranges = append(ranges, r.of)
				}
				return ranges
			}
			var parents []string
			for i, s := range v.standings() {
				if s == parent {
					parents = append(parents, v.list[i].Token)
				}
			}
			found := v.missing()
			for what, pair := range map[string][2]string{
				"create": {tokens(found.create), test.create}, "replace": {tokens(of(found.replace)), test.replace},
				"wait": {tokens(of(found.wait)), test.wait}, "torn": {tokens(found.torn), test.torn},
				"lacking": {strings.TrimPrefix(v.lacking(), "some "), test.lacking}, "parents": {strings.Join(parents, " "), test.parents},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
				}
			}
		})
	}
}

func tokens(ranges []Range) string {
	var list []string
	for _, r := range ranges {
		list = append(list, r.Token)
	}
	return strings.Join(list, " ")
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
	r := Range{Token: "0", Range: feedRangeOf("", "FF"), Continuation: at(50)}
	for body, want := range map[string]string{
		`{"id":"p..0","foo":1}`: at(50),
		`{"id":"p..0","LeaseToken":"0","Owner":7,"ContinuationToken":"\"7\"","properties":{"opfeed.epoch":"3","a":"b"},"foo":{"x":1}}`: at(7),
		`{"id":"p..0","LeaseToken":"0","Owner":7,"ContinuationToken":"junk"}`:                                                          at(50),
		`{"id":"p..0","LeaseToken":"5","Owner":7,"ContinuationToken":"\"7\""}`:                                                         at(50),
		`{"id":"p..0","LeaseToken":"0","version":7,"Owner":7,"ContinuationToken":"\"7\""}`:                                             at(50),
		`{"id":"p..0","LeaseToken":"0","version":7,"ContinuationToken":"\"7\""}`:                                                       at(50),
	} {
		from, _ := decode([]byte(body), "e")
		d := repair{of: r, from: from}.document()
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
