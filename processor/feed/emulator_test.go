package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/epk"
)

// Every change is read once by a reader that forgets all but its position, in
// order within a partition key.
func TestEmulatorResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		container := emulator(t)
		r := NewReader(container, 3, time.Minute)
		rng := only(t, r)
		page, err := r.Read(t.Context(), rng, Now)
		if err != nil || len(page.Items) != 0 || page.RangeID == "" || page.Session == "" {
			t.Fatalf("page %+v, %v", page, err)
		}
		position, lsn := page.Continuation, int64(0)
		seen := map[string][]int{}
		for i := range 200 {
			write(t, container, fmt.Sprint("s", i%7), fmt.Sprint("d", i), i)
			if i%5 != 0 {
				continue
			}
			for range 3 {
				page, err := NewReader(container, 3, time.Minute).Read(t.Context(), rng, position)
				if err != nil {
					t.Fatal(err)
				}
				for _, item := range page.Items {
					var d struct {
						PK string
						N  int
					}
					if err := json.Unmarshal(item.Document, &d); err != nil {
						t.Fatal(err)
					}
					if item.ID != fmt.Sprint("d", d.N) || item.ETag == "" || item.LSN <= lsn || item.LSN > page.LSN || time.Since(item.Written) > time.Hour {
						t.Errorf("item %+v after %d in a page at %d", item, lsn, page.LSN)
					}
					lsn = item.LSN
					seen[d.PK] = append(seen[d.PK], d.N)
				}
				position = page.Continuation
			}
			time.Sleep(time.Second)
		}
		total := 0
		for pk, numbers := range seen {
			total += len(numbers)
			if !slices.IsSorted(numbers) || len(slices.Compact(numbers)) != len(numbers) {
				t.Errorf("%s: %v", pk, numbers)
			}
		}
		if total != 196 { // the last four came after the last read
			t.Errorf("%d changes were read", total)
		}
	})
}

func TestEmulatorFromTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		container := emulator(t)
		r := NewReader(container, 0, time.Minute)
		rng := only(t, r)
		write(t, container, "s", "old", 0)
		time.Sleep(10 * time.Second)
		from := time.Now()
		time.Sleep(10 * time.Second)
		write(t, container, "s", "new", 1)
		page, err := r.ReadFrom(t.Context(), rng, from)
		if err != nil || len(page.Items) != 1 || page.Items[0].ID != "new" {
			t.Fatalf("page %+v, %v", page, err)
		}
		write(t, container, "s", "newer", 2)
		page, err = r.Read(t.Context(), rng, page.Continuation)
		if err != nil || len(page.Items) != 1 || page.Items[0].ID != "newer" {
			t.Fatalf("page %+v, %v", page, err)
		}
		page, err = r.Read(t.Context(), rng, "")
		if err != nil || len(page.Items) != 3 {
			t.Fatalf("from the beginning %+v, %v", page, err)
		}
	})
}

// A part of a partition gives its own changes alone, and says when it has been
// split itself.
func TestEmulatorPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, container := emulated(t)
		r := NewReader(container, 0, time.Minute)
		for i := range 20 {
			write(t, container, fmt.Sprint("s", i), fmt.Sprint("d", i), i)
		}
		// "0" is the whole; a split and a merge leave parts of one partition.
		if _, err := server.Split("db", "c", "0", cosmosemu.SplitOptions{At: "20"}); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Merge("db", "c", "1", "2"); err != nil {
			t.Fatal(err)
		}
		low, high := azcosmos.FeedRange{MaxExclusive: "20"}, azcosmos.FeedRange{MinInclusive: "20", MaxExclusive: "FF"}
		total := 0
		for _, part := range []azcosmos.FeedRange{low, high} {
			page, err := r.ReadPart(t.Context(), part, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				var d struct{ PK string }
				if err := json.Unmarshal(item.Document, &d); err != nil {
					t.Fatal(err)
				}
				if !epk.Contains(part.MinInclusive, part.MaxExclusive, epk.Of(d.PK)) {
					t.Errorf("%v has %s", part, item.ID)
				}
			}
			if total += len(page.Items); len(page.Items) == 0 {
				t.Errorf("%v has nothing: nothing was tested", part)
			}
			if page.RangeID != "3" {
				t.Errorf("read from range %s", page.RangeID)
			}
		}
		if total != 20 {
			t.Errorf("%d of 20 changes", total)
		}
		if _, err := server.Split("db", "c", "3", cosmosemu.SplitOptions{At: "30"}); err != nil {
			t.Fatal(err)
		}
		_, err := r.ReadPart(t.Context(), high, "")
		if split, ok := errors.AsType[*SplitError](err); !ok || len(split.Children) != 2 || split.Children[0].MaxExclusive != "30" {
			t.Errorf("a part that was split: %v", err)
		}
		if _, err := r.ReadPart(t.Context(), low, ""); err != nil {
			t.Errorf("the part beside it: %v", err)
		}
	})
}

func emulator(t *testing.T) *azcosmos.ContainerClient {
	t.Helper()
	_, container := emulated(t)
	return container
}

func emulated(t *testing.T) (*cosmosemu.Server, *azcosmos.ContainerClient) {
	t.Helper()
	server := cosmosemu.New(cosmosemu.Options{Key: "a2V5"})
	if err := server.Create("db", cosmosemu.Container{ID: "c", PartitionKey: "/pk"}); err != nil {
		t.Fatal(err)
	}
	return server, containerOf(t, server)
}

func only(t *testing.T, r *Reader) azcosmos.FeedRange {
	t.Helper()
	ranges, err := r.Ranges(t.Context())
	if err != nil || len(ranges) != 1 {
		t.Fatalf("ranges %v, %v", ranges, err)
	}
	return ranges[0]
}

func write(t *testing.T, c *azcosmos.ContainerClient, pk, id string, n int) {
	t.Helper()
	body := fmt.Sprintf(`{"pk":%q,"id":%q,"n":%d}`, pk, id, n)
	if _, err := c.UpsertItem(t.Context(), azcosmos.NewPartitionKeyString(pk), []byte(body), nil); err != nil {
		t.Fatal(err)
	}
}
