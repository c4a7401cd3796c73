package feed

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
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

func emulator(t *testing.T) *azcosmos.ContainerClient {
	t.Helper()
	server := cosmosemu.New(cosmosemu.Options{Key: "a2V5"})
	if err := server.Create("db", cosmosemu.Container{ID: "c", PartitionKey: "/pk"}); err != nil {
		t.Fatal(err)
	}
	return containerOf(t, server)
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
