package leases

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b)
}

// The golden files were written by hand from the schema, not by encode.
func TestEncode(t *testing.T) {
	prefix := Prefix("opfeed", "Acct.Documents.azure.com", "V4lVAA==", "V4lVAMl0wuQ=")
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	owned := Document{
		ID: prefix + "..3", Token: "3", Range: azcosmos.FeedRange{MinInclusive: "05C1E1B3A2F7", MaxExclusive: "FF"},
		Owner: "opfeed-7d9f-abcde", Continuation: `"7052"`, StartID: "AAAABBBBCCCCDDDDEEEEFFFFGG", Epoch: 12, Renewal: 345,
		Timestamp: noon.Add(771336699).In(time.FixedZone("elsewhere", 7200)),
	}
	released := owned
	released.Owner, released.Continuation, released.Renewal = "", `"7053"`, 346
	released.Timestamp = noon.Add(1500 * time.Millisecond)
	for name, d := range map[string]Document{
		"created.json": {ID: prefix + "..0", Token: "0", Range: azcosmos.FeedRange{MaxExclusive: "FF"}, Timestamp: noon},
		"owned.json":   owned, "released.json": released,
	} {
		got, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		if want := golden(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		back, err := decode(got, "etag")
		if err != nil {
			t.Fatal(err)
		}
		again, err := back.encode()
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s: decoded and encoded again: %s, %v", name, again, err)
		}
	}
}

func TestDecodeDotNet(t *testing.T) {
	full := azcosmos.FeedRange{MaxExclusive: "FF"}
	for _, test := range []struct {
		file string
		want Document
	}{
		{"dotnet-free.json", Document{ID: "ordersacct.documents.azure.com_V4lVAA==_V4lVAMl0wuQ=..0", Token: "0", Range: full,
			Timestamp: time.Unix(1593862080, 0).UTC(), Written: time.Unix(1593862080, 0).UTC(), ETag: `"0000d826-0000-0700-0000-5f0068c20000"`}},
		{"dotnet-owned.json", Document{ID: "ordersacct.documents.azure.com_V4lVAA==_V4lVAMl0wuQ=..0", Token: "0", Range: full,
			Owner: "HOST-1", Continuation: `"7052"`, Timestamp: time.Date(2020, 7, 4, 11, 20, 34, 771336600, time.UTC),
			Written: time.Unix(1593861634, 0).UTC(), ETag: `"0000d826-0000-0700-0000-5f0068c20000"`}},
		{"dotnet-epk.json", Document{ID: "ordersacct.documents.azure.com_V4lVAA==_V4lVAMl0wuQ=..05C1E1B3A2F7-FF", Version: VersionEPK,
			Token: "05C1E1B3A2F7-FF", Range: azcosmos.FeedRange{MinInclusive: "05C1E1B3A2F7", MaxExclusive: "FF"},
			Owner: "HOST-2", Continuation: `"7052"`, Timestamp: time.Date(2020, 7, 4, 11, 20, 34, 771336600, time.UTC),
			Written: time.Unix(1593861634, 0).UTC(), ETag: `"0000d826-0000-0700-0000-5f0068c20000"`}},
	} {
		got, err := decode(golden(t, test.file), "")
		if err != nil {
			t.Fatalf("%s: %v", test.file, err)
		}
		got.properties, got.unknown, got.feedRange = nil, nil, nil
		if !same(got, test.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", test.file, got, test.want)
		}
	}
}

func same(a, b Document) bool {
	left, _ := json.Marshal(a)
	right, _ := json.Marshal(b)
	return bytes.Equal(left, right)
}

func TestRewriteKeepsWhatItDoesNotKnow(t *testing.T) {
	d, err := decode(golden(t, "dotnet-owned.json"), "")
	if err != nil {
		t.Fatal(err)
	}
	d.Owner, d.StartID, d.Epoch = "opfeed-0", "START", 1
	d.Timestamp = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	got, err := d.encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := golden(t, "dotnet-owned-rewritten.json"); !bytes.Equal(got, want) {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestDecodeOdd(t *testing.T) {
	for _, body := range []string{
		`[]`, `7`, `"x"`, ``, `{`, `{}`, `{"id":"p..0"}`, `{"LeaseToken":"0"}`,
		`{"id":7,"LeaseToken":"0"}`,
		`{"id":"p..0","LeaseToken":0}`,
		`{"id":"p..0","LeaseToken":"0","version":"1"}`,
		`{"id":"p..0","LeaseToken":"0","Owner":{}}`,
		`{"id":"p..0","LeaseToken":"0","properties":[]}`,
		`{"id":"p..0","LeaseToken":"0","properties":{"opfeed.epoch":"x"}}`,
		`{"id":"p..0","LeaseToken":"0","properties":{"opfeed.epoch":1}}`,
		`{"id":"p..0","LeaseToken":"0","properties":{"opfeed.epoch":"-1"}}`,
		`{"id":"p..0","LeaseToken":"0","properties":{"opfeed.epoch":"9223372036854775807"}}`,
	} {
		if d, err := decode([]byte(body), ""); err == nil || d.Version != Unreadable {
			t.Errorf("%s: decoded to version %d, %v", body, d.Version, err)
		}
	}
	for _, body := range []string{
		`{"id":"p..0","PartitionId":"0"}`,
		`{"id":"p..0","LeaseToken":"0","FeedRange":{"PKRangeId":"0"},"timestamp":"yesterday"}`,
		`{"id":"p..0","LeaseToken":"0","FeedRange":7,"timestamp":"2020-07-04T11:20:34","properties":null}`,
		`{"id":"p..0","LeaseToken":"0","timestamp":{},"_ts":"x","properties":{"opfeed.startId":7,"opfeed.renewal":"x","a":[1]}}`,
	} {
		d, err := decode([]byte(body), "")
		if err != nil || d.Token != "0" || d.Version != VersionRange0 || d.Range != (azcosmos.FeedRange{}) {
			t.Errorf("%s: %+v, %v", body, d, err)
		}
	}
}

// Whatever decodes as a lease survives being written back.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"created.json", "owned.json", "dotnet-owned.json", "dotnet-epk.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"id":"p..0","LeaseToken":"0","a":1,"a":2,"FeedRange":{"Range":{"min":"","max":""}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := decode(body, "e")
		if err != nil {
			if d.Version != Unreadable {
				t.Fatalf("version %d with %v", d.Version, err)
			}
			return
		}
		first, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(first, "e")
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		second, err := back.encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("\n first %s\nsecond %s\n%v", first, second, err)
		}
	})
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"opfeed": true, "op feed-1": true, "": false, "a'b": false, "a/b": false, `a\b`: false, "a?b": false, "a#b": false, "a\nb": false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
