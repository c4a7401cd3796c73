package leases

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func same(a, b Document) bool {
	left, _ := json.Marshal(a)
	right, _ := json.Marshal(b)
	return bytes.Equal(left, right)
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
		`{"id":"p..0","LeaseToken":"0","version":-1}`,
		`{"id":"p..0","LeaseToken":"0","version":1.5}`,
		`{"id":"p..0","leasetoken":"0"}`,
		`{"ID":"p..0","LeaseToken":"0"}`,
		`{"id":"p..0","LeaseToken":"0","Mode":7}`,
		`{"id":"p..0","LeaseToken":"0","Mode":"Incremental Full-Fidelity Feed"}`,
		`{"id":"p..0","LeaseToken":"0","ContinuationToken":"7052"}`,
		`{"id":"p..0","LeaseToken":"0","ContinuationToken":"\"\""}`,
		`{"id":"p..0","LeaseToken":"0","ContinuationToken":"\""}`,
		`{"id":"p..0","LeaseToken":"0","ContinuationToken":"\"1\",\"2\""}`,
		`{"id":"p..0","LeaseToken":"0","ContinuationToken":"\"1\r\nx\""}`,
		`{"id":"p..0","LeaseToken":"0","ContinuationToken":"{\"version\":1}"}`,
		`{"id":"p..0","version":1,"LeaseToken":"0","FeedRange":{"Range":{"min":"","max":"FF"}}}`,
		`{"id":"p..-FF","version":1,"LeaseToken":"-FF","FeedRange":{"Range":{"min":"","max":"AA"}}}`,
		`{"id":"p..-FF","version":1,"LeaseToken":"-FF","FeedRange":{"range":{"min":"","max":"FF"}}}`,
		`{"id":"p..-FF","version":1,"LeaseToken":"-FF","FeedRange":{"Range":{"min":"","max":"FF","isMaxInclusive":true}}}`,
		`{"id":"p..FF-AA","version":1,"LeaseToken":"FF-AA","FeedRange":{"Range":{"min":"FF","max":"AA"}}}`,
		`{"id":"p..-","version":1,"LeaseToken":"-","FeedRange":{"Range":{"min":"","max":""}}}`,
		`{"id":"p..-ff","version":1,"LeaseToken":"-ff","FeedRange":{"Range":{"min":"","max":"ff"}}}`,
	} {
		d, err := decode([]byte(body), "")
		if err == nil || d.Version != Unreadable || d.Fault == "" {
			t.Errorf("%s: decoded to version %d, %q, %v", body, d.Version, d.Fault, err)
		}
		if d.Continuation != "" {
			t.Errorf("%s: the position %s would survive a repair", body, d.Continuation)
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

// A fault quotes no more of a document than a log line can bear.
func TestFaultIsBounded(t *testing.T) {
	long := strings.Repeat("9", 1<<20)
	for _, body := range []string{
		`{"id":"` + long + `","LeaseToken":7}`,
		`{"id":"p..0","LeaseToken":"0","version":` + long + `}`,
		`{"id":"p..0","LeaseToken":"0","Mode":"` + long + `"}`,
		`{"id":"p..0","LeaseToken":"0","properties":{"opfeed.epoch":"` + long + `"}}`,
		`{"id":"p..0","LeaseToken":"0","version":` + strings.Repeat("é", 1<<10) + `}`,
		`{"id":"p..0","LeaseToken":"0","properties":{"opfeed.epoch":"` + strings.Repeat("é", 1<<10) + `"}}`,
		`{"id":"p..0","LeaseToken":"0","properties":{"opfeed.epoch":"a` + strings.Repeat("é", 1<<10) + `"}}`, // cut in the middle
	} {
		d, err := decode([]byte(body), "")
		if err == nil || len(err.Error()) > 500 || len(d.Fault) > 250 || !utf8.ValidString(d.Fault) {
			t.Errorf("%.100s: fault %.300q, %.600v", body, d.Fault, err)
		}
	}
}

func TestTimestamps(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	server := time.Unix(1593861634, 0).UTC()
	for text, want := range map[string]time.Time{
		`"2026-03-01T12:00:00Z"`:         noon,
		`"2026-03-01T12:00:00.1234567Z"`: noon.Add(123456700),
		`"2026-03-01T12:00:00.1234567"`:  noon.Add(123456700), // without a zone it is UTC
		`"2026-03-01T12:00:00"`:          noon,
		`"2026-03-01T14:00:00+02:00"`:    noon,
		`null`:                           server,
		`""`:                             server,
		`7`:                              server,
		`"yesterday"`:                    server,
		`"2026-03-01T12:00:00.1Z[UTC]"`:  server, // Java
		`"9999-12-31T23:59:59-01:00"`:    server, // no timestamp could say that again
		`"0001-01-01T00:00:00+01:00"`:    server,
	} {
		d, err := decode([]byte(`{"id":"p..0","LeaseToken":"0","_ts":1593861634,"timestamp":`+text+`}`), "")
		if err != nil || !d.Timestamp.Equal(want) || d.Timestamp.Location() != time.UTC || !d.Written.Equal(server) {
			t.Errorf("%s is %s, written %s, %v", text, d.Timestamp, d.Written, err)
		}
	}
	for _, ts := range []string{`null`, `-1`, `0`, `"1593861634"`, `1e30`, `1000000000000000000`} {
		if d, err := decode([]byte(`{"id":"p..0","LeaseToken":"0","_ts":`+ts+`}`), ""); err != nil || !d.Timestamp.IsZero() || !d.Written.IsZero() {
			t.Errorf("_ts %s is %s, %v", ts, d.Timestamp, err)
		}
	}
}

func TestEPKTokens(t *testing.T) {
	for token, want := range map[string]azcosmos.FeedRange{
		"-FF":                {MinInclusive: "", MaxExclusive: "FF"},
		"-05C1E1B3A2F7":      {MinInclusive: "", MaxExclusive: "05C1E1B3A2F7"},
		"05C1E1B3A2F7-FF":    {MinInclusive: "05C1E1B3A2F7", MaxExclusive: "FF"},
		"1FFFFFFFF-2AAAAAAA": {MinInclusive: "1FFFFFFFF", MaxExclusive: "2AAAAAAA"},
	} {
		if got, err := epkRange(token); err != nil || got != want || epkToken(got) != token {
			t.Errorf("%s is %v, %v", token, got, err)
		}
	}
	for _, token := range []string{"", "-", "0", "AA-", "AA", "AA-AA", "AA-AA00", "BB-AA", "-ff", " -FF", "A-B-C", "--FF", "AG-FF", "AA/BB", "AA–BB"} {
		if got, err := epkRange(token); err == nil {
			t.Errorf("%q is %v", token, got)
		}
	}
	if body, err := (Document{ID: "p..-FF", Version: VersionEPK, Token: "-FF", Range: topKeys}).encode(); err == nil {
		t.Errorf("encoded %s", body)
	}
}

func FuzzEPKToken(f *testing.F) {
	for _, token := range []string{"-FF", "05C1E1B3A2F7-FF", "-", "AA-BB-CC"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		r, err := epkRange(token)
		if err != nil {
			return
		}
		if epkToken(r) != token || !covered(r, []azcosmos.FeedRange{r}) || covered(r, nil) {
			t.Fatalf("%q is %v", token, r)
		}
	})
}

// Whatever decodes as a lease survives being written back.
func FuzzDecode(f *testing.F) {
	for _, name := range goldenNames(f) {
		b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"id":"p..0","LeaseToken":"0","_ts":4294967295,"timestamp":"9999-12-31T23:59:59-01:00"}`))
	f.Add([]byte(`{"id":"p..0","LeaseToken":"0","a":1,"a":2,"FeedRange":{"Range":{"min":"","max":""}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := decode(body, "e")
		if err != nil {
			if d.Version != Unreadable || d.Fault == "" {
				t.Fatalf("version %d with %v, fault %q", d.Version, err, d.Fault)
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
