package feed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func TestReadResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{ranges: whole0}
		r := NewReader(containerOf(t, s), 3, time.Minute)
		for i := range 10 {
			s.add("20", `{"id":"d%d","_etag":"\"e%d\"","_lsn":LSN,"_ts":1700000000}`, i, i)
		}
		var got []string
		position := ""
		for range 5 {
			page, err := r.Read(t.Context(), full, position)
			if err != nil {
				t.Fatal(err)
			}
			if position != s.last().Get("If-None-Match") {
				t.Errorf("sent %q for position %q", s.last().Get("If-None-Match"), position)
			}
			if page.RangeID != "0" || page.Session != "0:-1#10#1=2" || page.LSN != 10 || page.RequestCharge != 1 {
				t.Errorf("page %+v", page)
			}
			if !page.ServerTime.Equal(time.Now().Truncate(time.Second)) {
				t.Errorf("server time %s", page.ServerTime)
			}
			for _, item := range page.Items {
				got = append(got, item.ID)
			}
			position = page.Continuation
		}
		if want := "d0 d1 d2 d3 d4 d5 d6 d7 d8 d9"; strings.Join(got, " ") != want {
			t.Errorf("read %s, want %s", got, want)
		}
		if position != `"10"` {
			t.Errorf("position after an empty page: %s", position)
		}
		s.add("20", `{"id":"late","_lsn":LSN}`)
		page, err := r.Read(t.Context(), full, position)
		if err != nil || len(page.Items) != 1 || page.Items[0].ID != "late" {
			t.Errorf("after a 304: %+v, %v", page, err)
		}
	})
}

func TestReadFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{ranges: whole0}
		r := NewReader(containerOf(t, s), 0, time.Minute)
		s.add("20", `{"id":"old","_lsn":LSN}`)
		page, err := r.Read(t.Context(), full, Now)
		if err != nil || len(page.Items) != 0 || page.Continuation != `"1"` {
			t.Fatalf("page %+v, %v", page, err)
		}
		if got := s.last().Get("If-None-Match"); got != "*" {
			t.Errorf("If-None-Match %q", got)
		}
		if got := s.last().Get("x-ms-max-item-count"); got != "" {
			t.Errorf("page size %q", got)
		}
		s.add("20", `{"id":"new","_lsn":LSN}`)
		page, err = r.Read(t.Context(), full, page.Continuation)
		if err != nil || len(page.Items) != 1 || page.Items[0].ID != "new" {
			t.Errorf("page %+v, %v", page, err)
		}
	})
}

// The header must be in HTTP's format, on the change feed alone, and gone from
// the next read.
func TestReadFromTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{ranges: whole0}
		r := NewReader(containerOf(t, s), 0, time.Minute)
		at := time.Date(2026, 1, 2, 4, 4, 5, 999, time.FixedZone("CET", 3600))
		page, err := r.ReadFrom(t.Context(), full, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.last().Get("If-Modified-Since"); got != "Fri, 02 Jan 2026 03:04:05 GMT" {
			t.Errorf("If-Modified-Since %q", got)
		}
		if s.strays != 0 {
			t.Errorf("If-Modified-Since went out with %d requests for something else", s.strays)
		}
		if got := s.last().Values("If-None-Match"); got != nil {
			t.Errorf("If-None-Match %q", got)
		}
		if _, err := r.Read(t.Context(), full, page.Continuation); err != nil {
			t.Fatal(err)
		}
		if got := s.last().Get("If-Modified-Since"); got != "" {
			t.Errorf("If-Modified-Since %q on the next read", got)
		}
	})
}

// A range that is a part of a partition stays what it is, with and without a
// position: azcosmos widens its own FeedRange option.
func TestReadSubRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{ranges: whole0}
		r := NewReader(containerOf(t, s), 0, time.Minute)
		sub := azcosmos.FeedRange{MinInclusive: "10", MaxExclusive: "20"}
		for _, position := range []string{"", Now, `"0"`} {
			if _, err := r.Read(t.Context(), sub, position); err != nil {
				t.Errorf("position %q: %v", position, err)
			}
		}
	})
}

func TestReadSplit(t *testing.T) {
	for _, test := range []struct {
		name string
		// what the process knows, and what there is when it reads
		before, after []physical
		rng           azcosmos.FeedRange
		want          []azcosmos.FeedRange
	}{
		{"gone under way", whole0, []physical{{"1", "", "30"}, {"2", "30", "FF"}}, full,
			[]azcosmos.FeedRange{{MinInclusive: "", MaxExclusive: "30"}, {MinInclusive: "30", MaxExclusive: "FF"}}},
		{"gone before", []physical{{"1", "", "30"}, {"2", "30", "FF"}}, nil, full,
			[]azcosmos.FeedRange{{MinInclusive: "", MaxExclusive: "30"}, {MinInclusive: "30", MaxExclusive: "FF"}}},
		{"in three", whole0, []physical{{"1", "", "10"}, {"2", "10", "20"}, {"3", "20", "FF"}}, full,
			[]azcosmos.FeedRange{{MinInclusive: "", MaxExclusive: "10"}, {MinInclusive: "10", MaxExclusive: "20"}, {MinInclusive: "20", MaxExclusive: "FF"}}},
		{"of a sub-range", whole0, []physical{{"1", "", "30"}, {"2", "30", "FF"}}, azcosmos.FeedRange{MinInclusive: "20", MaxExclusive: "35"},
			[]azcosmos.FeedRange{{MinInclusive: "20", MaxExclusive: "30"}, {MinInclusive: "30", MaxExclusive: "35"}}},
	} {
		for _, where := range []string{"21", "31", "none"} {
			t.Run(test.name+" "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &service{ranges: test.before}
					r := NewReader(containerOf(t, s), 0, time.Minute)
					ranges, err := r.Ranges(t.Context())
					if err != nil || len(ranges) != len(test.before) {
						t.Fatalf("ranges %v, %v", ranges, err)
					}
					if where != "none" {
						s.add(where, `{"id":"x","_lsn":LSN}`)
					}
					if test.after != nil {
						s.split(test.after...)
					}
					_, err = r.Read(t.Context(), test.rng, `"0"`)
					var split *SplitError
					if !errors.As(err, &split) {
						t.Fatalf("error %v", err)
					}
					if split.Range != test.rng || !reflect.DeepEqual(split.Children, test.want) {
						t.Errorf("split %+v, want %v", split, test.want)
					}
					seen := 0
					for _, child := range split.Children {
						page, err := r.Read(t.Context(), child, `"0"`)
						if err != nil {
							t.Fatal(err)
						}
						seen += len(page.Items)
					}
					if where != "none" && seen != 1 {
						t.Errorf("the change was seen %d times in the children", seen)
					}
				})
			})
		}
	}
}

func TestReadRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{ranges: whole0, noETag: true}
		r := NewReader(containerOf(t, s), 0, time.Minute)
		if _, err := r.Read(t.Context(), full, `"1"`); err == nil || !strings.Contains(err.Error(), "no ETag") {
			t.Errorf("304 without an ETag: %v", err)
		}
		s.add("20", `{"id":"x","_lsn":LSN}`)
		if _, err := r.Read(t.Context(), full, ""); err == nil || !strings.Contains(err.Error(), "no ETag") {
			t.Errorf("200 without an ETag: %v", err)
		}
		reads := len(s.requests)
		for _, position := range []string{`{"version":1}`, "\"1\"\r\nx: y", "\"é\""} {
			if _, err := r.Read(t.Context(), full, position); err == nil {
				t.Errorf("position %q was taken", position)
			}
		}
		if len(s.requests) != reads {
			t.Error("a bad position reached the wire")
		}
		s.status = http.StatusTooManyRequests
		if _, err := r.Read(t.Context(), full, ""); err == nil {
			t.Error("429 was no error")
		}
	})
}

func TestReadTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{ranges: whole0}
		hang := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/docs") {
				<-r.Context().Done()
			}
			s.ServeHTTP(w, r)
		})
		r := NewReader(containerOf(t, hang), 0, 5*time.Second)
		start := time.Now()
		_, err := r.Read(t.Context(), full, "")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

// One bad document is one bad item.
func TestReadOddDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{ranges: whole0}
		r := NewReader(containerOf(t, s), 0, time.Minute)
		s.add("20", `{"id":"first","_lsn":LSN,"_ts":1700000000,"_etag":"e"}`)
		bodies := []string{`7`, `null`, `"x"`, `[1]`, `{}`, `{"id":7,"_lsn":"8","_ts":"x","_etag":{}}`, `{"id":"ok","ID":"other","_lsn":-1,"_ts":1e300}`}
		for _, b := range bodies {
			s.add("20", "%s", b)
		}
		s.add("20", `{"id":"last","_lsn":LSN,"_ts":1700000001.0}`)
		page, err := r.Read(t.Context(), full, "")
		if err != nil || len(page.Items) != len(bodies)+2 {
			t.Fatalf("%d items, %v", len(page.Items), err)
		}
		if first := page.Items[0]; first.ID != "first" || first.ETag != "e" || first.LSN != 1 || first.Written.Unix() != 1700000000 {
			t.Errorf("first %+v", first)
		}
		if !slices.IsSortedFunc(page.Items, func(a, b Item) int { return int(a.LSN - b.LSN) }) {
			t.Error("not in order")
		}
		for _, b := range bodies {
			i := slices.IndexFunc(page.Items, func(item Item) bool { return string(item.Document) == b })
			if i < 0 {
				t.Errorf("%s is missing", b)
				continue
			}
			item := page.Items[i]
			want := Item{Document: item.Document, LSN: 9}
			if strings.Contains(b, "ok") {
				want.ID = "ok"
			}
			if !reflect.DeepEqual(item, want) {
				t.Errorf("%s: %+v", b, item)
			}
		}
	})
}

func TestSessionLSN(t *testing.T) {
	for token, want := range map[string]int64{
		"0:12345": 12345, "0:-1#12345#1=1#2=2": 12345, "12345": 12345, "0:-1#7": 7, "0:5#8": 8,
		"": 0, ":": 0, "x": 0, "0:": 0, "0:#": 0, "0:-5": 0, "0:1#x": 0, "1:2:3": 0,
	} {
		if got := sessionLSN(token); got != want {
			t.Errorf("%q: %d, want %d", token, got, want)
		}
	}
}

func TestDecodeChildren(t *testing.T) {
	part := func(minimum, maximum string) string {
		return fmt.Sprintf(`{"minInclusive":%q,"maxExclusive":%q,"continuationToken":"\"7\""}`, minimum, maximum)
	}
	token := func(parts ...string) string {
		return `{"version":1,"resourceId":"r","continuation":[` + strings.Join(parts, ",") + `]}`
	}
	for _, ok := range []string{
		token(part("10", "FF"), part("", "10")), token(part("", "10"), part("10", "20"), part("20", "")),
	} {
		if got, err := decodeChildren(full, ok); err != nil || got[0].MinInclusive != "" {
			t.Errorf("%s: %v, %v", ok, got, err)
		}
	}
	for _, bad := range []string{
		"", "{}", "[]", token(), token(part("", "FF")), token(part("", "10"), part("20", "FF")), token(part("", "20"), part("10", "FF")),
		token(part("", "10"), part("10", "20")), token(part("05", "10"), part("10", "FF")), token(part("", "10"), part("10", "10"), part("10", "FF")),
	} {
		if got, err := decodeChildren(full, bad); err == nil {
			t.Errorf("%s: %v", bad, got)
		}
	}
}
