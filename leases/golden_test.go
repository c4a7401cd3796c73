package leases

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// The golden files were written from the schema, not by encode: ours are one
// line, byte by byte what is stored; those of .NET and Java are as their hosts
// write them, with what the service adds.

func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b)
}

func goldenNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	return names
}

var (
	allKeys = azcosmos.FeedRange{MaxExclusive: "FF"}
	lowKeys = azcosmos.FeedRange{MaxExclusive: "05C1E1B3A2F7"}
	topKeys = azcosmos.FeedRange{MinInclusive: "05C1E1B3A2F7", MaxExclusive: "FF"}

	goldenNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// goldenOurs gives each document of ours by the name of its file.
func goldenOurs() map[string]Document {
	lease := func(token string, r azcosmos.FeedRange) Document {
		d := Document{ID: Prefix("opfeed", "Acct.Documents.azure.com", "V4lVAA==", "V4lVAMl0wuQ=") + ".." + token, Token: token, Range: r, Timestamp: goldenNoon}
		if strings.Contains(token, "-") {
			d.Version = VersionEPK
		}
		return d
	}
	with := func(d Document, edit func(*Document)) Document {
		edit(&d)
		return d
	}
	owned := func(d *Document) {
		d.Owner, d.Continuation, d.StartID = "opfeed-7d9f-abcde", `"7052"`, "AAAABBBBCCCCDDDDEEEEFFFFGG"
		d.Epoch, d.Renewal = 12, 345
		d.Timestamp = goldenNoon.Add(771336699).In(time.FixedZone("elsewhere", 7200))
	}
	released := func(d *Document) {
		owned(d)
		d.Owner, d.Continuation, d.Renewal, d.Timestamp = "", `"7053"`, 346, goldenNoon.Add(1500*time.Millisecond)
	}
	const other = "HHHHIIIIJJJJKKKKLLLLMMMMNN opfeed-7d9f-fghij"
	return map[string]Document{
		"created":          lease("0", allKeys),
		"created-start":    with(lease("0", allKeys), func(d *Document) { d.Start = "beginning" }),
		"created-epk":      with(lease("-05C1E1B3A2F7", lowKeys), func(d *Document) { d.Continuation = `"7052"` }),
		"created-epk-full": lease("-FF", allKeys),
		"owned":            with(lease("3", topKeys), owned),
		"owned-page":       with(lease("3", topKeys), func(d *Document) { owned(d); d.Page = "https://opfeed.example/a?b&c" }),
		"owned-epk":        with(lease("05C1E1B3A2F7-FF", topKeys), owned),
		"owned-fresh": with(lease("3", topKeys), func(d *Document) {
			owned(d)
			d.Continuation, d.Epoch, d.Renewal, d.Start = "", 1, 0, "2026-02-28T00:00:00Z"
		}),
		"requested":    with(lease("3", topKeys), func(d *Document) { owned(d); d.Request = other }),
		"offered":      with(lease("3", topKeys), func(d *Document) { owned(d); d.Offer = other }),
		"released":     with(lease("3", topKeys), released),
		"released-epk": with(lease("05C1E1B3A2F7-FF", topKeys), released),
	}
}

func TestEncode(t *testing.T) {
	for name, d := range goldenOurs() {
		got, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		if want := golden(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		back, err := decode(golden(t, name), "etag")
		if err != nil {
			t.Fatal(err)
		}
		d.ETag, d.Timestamp = "etag", d.Timestamp.UTC().Truncate(100)
		if seen := visible(back); !same(seen, d) {
			t.Errorf("%s: decoded\n got %+v\nwant %+v", name, seen, d)
		}
	}
}

// Of the documents of others.
func TestDecodeDotNet(t *testing.T) {
	const etag = `"0000d826-0000-0700-0000-5f0068c20000"`
	written := time.Unix(1593861634, 0).UTC()
	v0 := func(owner, continuation string) Document {
		return Document{
			ID: "ordersacct.documents.azure.com_V4lVAA==_V4lVAMl0wuQ=..0", Token: "0", Range: allKeys,
			Owner: owner, Continuation: continuation, ETag: etag,
			Timestamp: time.Date(2020, 7, 4, 11, 20, 34, 771336600, time.UTC), Written: written,
		}
	}
	v1 := func(r azcosmos.FeedRange, owner, continuation string) Document {
		d := v0(owner, continuation)
		d.Version, d.Range, d.Token = VersionEPK, r, r.MinInclusive+"-"+r.MaxExclusive
		d.ID = "ordersacct.documents.azure.com_V4lVAA==_V4lVAMl0wuQ=.." + d.Token
		return d
	}
	with := func(d Document, edit func(*Document)) Document {
		edit(&d)
		return d
	}
	unreadable := func(fault string) func(*Document) {
		return func(d *Document) { d.Version, d.Fault, d.Continuation = Unreadable, fault, "" }
	}
	otherRange := func(d *Document) { d.Range = azcosmos.FeedRange{} }
	const position = `"7052"`
	files := map[string]Document{
		"dotnet-free":                  with(v0("", ""), func(d *Document) { d.Written = time.Unix(1593862080, 0).UTC(); d.Timestamp = d.Written }),
		"dotnet-free-continuation":     v0("", position),
		"dotnet-owned":                 with(v0("HOST-1", position), func(d *Document) { d.Mode = "Incremental Feed" }),
		"dotnet-owned-fresh":           v0("HOST-1", ""),
		"dotnet-partitionkey":          v0("HOST-1", position),
		"dotnet-version-absent":        v0("", position),
		"dotnet-v2-schema":             with(v0("HOST-1", position), otherRange),
		"dotnet-range-pk":              with(v0("", position), otherRange),
		"dotnet-range-pkrangeid":       with(v0("", position), otherRange),
		"dotnet-range-missing":         with(v0("", position), otherRange),
		"dotnet-range-inclusive":       with(v0("", position), otherRange),
		"dotnet-mode-incremental":      with(v0("HOST-1", position), func(d *Document) { d.Mode = "incremental feed" }),
		"dotnet-epk":                   v1(topKeys, "HOST-2", position),
		"dotnet-epk-free":              with(v1(allKeys, "", ""), func(d *Document) { d.Timestamp = d.Written }),
		"dotnet-epk-free-continuation": v1(allKeys, "", position),
		"dotnet-epk-owned-fresh":       v1(topKeys, "HOST-2", ""),
		// Its position is of a feed with deletions: neither read nor kept.
		"dotnet-mode-fullfidelity": with(with(v0("HOST-1", ""), func(d *Document) { d.Mode = "Full-Fidelity Feed" }),
			unreadable(`mode is "Full-Fidelity Feed": its position is of another feed`)),
		"dotnet-mode-fullfidelity-epk": with(with(v1(allKeys, "HOST-1", ""), func(d *Document) { d.Mode = "Full-Fidelity Feed" }),
			unreadable(`mode is "Full-Fidelity Feed": its position is of another feed`)),
		"dotnet-range-missing-epk": with(with(v1(allKeys, "", ""), otherRange),
			unreadable("FeedRange is missing, or not that of LeaseToken")),
		"java-epk": with(with(with(v1(allKeys, "java-1", ""), otherRange), func(d *Document) { d.Timestamp = d.Timestamp.Truncate(1000) }),
			unreadable("ContinuationToken is no ETag in quotes")),
	}
	for name, want := range files {
		got, err := decode(golden(t, name), "")
		if (err != nil) != (want.Version == Unreadable) {
			t.Errorf("%s: %v", name, err)
		}
		if got = visible(got); !same(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
	for _, name := range goldenNames(t) {
		_, theirs := files[name]
		_, ours := goldenOurs()[name]
		if !theirs && !ours && !strings.HasSuffix(name, "-rewritten") && name != "unknown" {
			t.Errorf("%s.json is looked at by no test", name)
		}
	}
}

// visible leaves what is kept only to be written back.
func visible(d Document) Document {
	d.properties, d.unknown, d.feedRange = nil, nil, nil
	return d
}

// Documents of .NET as they are when we have acquired them.
func TestRewriteKeepsWhatItDoesNotKnow(t *testing.T) {
	for _, name := range goldenNames(t) {
		of, ok := strings.CutSuffix(name, "-rewritten")
		if !ok {
			continue
		}
		d, err := decode(golden(t, of), "")
		if err != nil {
			t.Fatal(err)
		}
		d.Owner, d.StartID, d.Epoch, d.Timestamp = "opfeed-0", "START", 1, goldenNoon
		if d.Range == (azcosmos.FeedRange{}) {
			d.Range = allKeys // by its token, as the Manager does
		}
		got, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		if want := golden(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// What is not ours comes back byte for byte, whatever it is, and whatever its
// name resembles.
func TestUnknownComesBack(t *testing.T) {
	body := golden(t, "unknown")
	d, err := decode(body, "")
	if err != nil || d.Version != VersionRange0 || d.Epoch != 1 || d.Continuation != `"7052"` || d.Range != allKeys {
		t.Fatalf("%+v, %v", d, err)
	}
	if got, err := d.encode(); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%v\n got %s\nwant %s", err, got, body)
	}
	for _, fr := range []string{
		`null`, `7`, `{"PKRangeId":"0"}`, `{"PK":"[1]"}`, `{"range":{"min":"","max":"FF"}}`, `{"Range":{"Min":"","Max":"FF"}}`,
		`{"Range":{"min":"","max":null}}`, `{"Range":{"min":"","max":"FF","isMaxInclusive":true}}`, `{"Range":{"min":"","max":"FF","isMinInclusive":7}}`,
	} {
		body := `{"id":"p..0","version":0,"LeaseToken":"0","FeedRange":` + fr + `,"Owner":null,"ContinuationToken":null,"properties":{},"timestamp":null}`
		d, err := decode([]byte(body), "")
		if err != nil || d.Range != (azcosmos.FeedRange{}) {
			t.Errorf("%s is %v, %v", fr, d.Range, err)
		}
		if got, err := d.encode(); err != nil || string(got) != body {
			t.Errorf("%v\n got %s\nwant %s", err, got, body)
		}
	}
}
