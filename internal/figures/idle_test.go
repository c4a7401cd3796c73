package figures_test

import (
	"flag"
	"math"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/purpose"
	"opfeed/internal/service"
)

var writePages = flag.Bool("figures.write", false, "write what was measured into the pages instead of comparing")

const (
	pageOfCosts = "../../docs/request-units.md"
	mostIdle    = 10.0 // RU/s that one idle range with one replica may cost at the defaults
)

// TestIdleCost measures what a replica with one range spends while nothing
// happens, by purpose, at the defaults and with the intervals of .NET's, beside
// what .NET's processor would by the same prices.
func TestIdleCost(t *testing.T) {
	rates := idle(t, "defaults", func(*service.Config) {})
	frugal := idle(t, "frugal", func(c *service.Config) {
		for name, value := range frugalVariables {
			switch d := mustDuration(t, value); name {
			case "OPFEED_FEED_INTERVAL":
				c.Processor.FeedInterval = d
			case "OPFEED_LEASE_ACQUIRE_INTERVAL":
				c.Leases.AcquireInterval = d
			case "OPFEED_LEASE_RENEW_INTERVAL":
				c.Leases.RenewInterval = d
			case "OPFEED_LEASE_EXPIRY":
				c.Leases.Expiry = d
			case "OPFEED_SHUTDOWN_TIMEOUT":
				c.ShutdownTimeout = d
			default:
				t.Fatalf("what is %s?", name)
			}
		}
	})
	dotnet := dotnetPrices(t)

	total := sum(rates)
	if total > mostIdle {
		t.Errorf("an idle range costs %.2f RU/s, want at most %v", total, mostIdle)
	}
	page := costPage(rates, frugal, dotnet)
	t.Logf("\n%s", page)
	if *writePages {
		writeBlock(t, pageOfCosts, "idle", page)
		return
	}
	compareFigures(t, pageOfCosts, readBlock(t, pageOfCosts, "idle"), page)
}

// rate is what is spent in a second.
type rate struct{ requests, units float64 }

// idle runs a whole replica, lets a front end do some work, and then measures an
// hour in which nothing happens.
func idle(t *testing.T, name string, tune func(*service.Config)) map[purpose.Purpose]rate {
	t.Helper()
	rates := map[purpose.Purpose]rate{}
	synctest.Test(t, func(t *testing.T) {
		w := newReplica(t, name, tune)
		w.work(t)
		time.Sleep(20 * time.Minute)
		before, charged := w.Snapshot().Service.Cosmos, w.charged()
		const hour = time.Hour
		time.Sleep(hour)
		after := w.Snapshot().Service.Cosmos
		charged = w.charged() - charged
		told := 0.0
		for _, p := range purpose.All() {
			a, b := after[string(p)], before[string(p)]
			rates[p] = rate{float64(a.Requests-b.Requests) / hour.Seconds(), (a.RequestUnits - b.RequestUnits) / hour.Seconds()}
			told += a.RequestUnits - b.RequestUnits
		}
		if math.Abs(told-charged) > charged/100 {
			t.Errorf("the replica says that it has spent %.0f RU, and was charged %.0f", told, charged)
		}
		if snap := w.Snapshot(); len(snap.Ranges) != 1 || !snap.Ranges[0].Mine || snap.Pending != 0 || snap.Recovered != 0 {
			t.Errorf("not idle: %+v", snap.Snapshot)
		}
	})
	return rates
}

// prices are those of .NET's requests.
type prices struct{ poll, list, read, replace float64 }

// dotnetPrices asks the emulator what .NET's processor asks, once each, with a
// lease as .NET writes it.
func dotnetPrices(t *testing.T) prices {
	t.Helper()
	ctx, account := t.Context(), cosmosemu.New(cosmosemu.Options{})
	if err := account.Create("db", cosmosemu.Container{ID: "docs", PartitionKey: "/pk"},
		cosmosemu.Container{ID: "leases", PartitionKey: "/id"}); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile("testdata/dotnet-lease.json")
	if err != nil {
		t.Fatal(err)
	}
	const id = "ordersacct.documents.azure.com_V4lVAA==_V4lVAMl0wuQ=..0"
	docs, leases := dial(t, account, "prices", "docs"), dial(t, account, "prices", "leases")
	key := azcosmos.NewPartitionKeyString(id)
	if _, err := leases.CreateItem(ctx, key, body, nil); err != nil {
		t.Fatal(err)
	}
	read, err := leases.ReadItem(ctx, key, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	replaced, err := leases.ReplaceItem(ctx, key, id, body, nil)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := leases.NewQueryItemsPager("SELECT * FROM c WHERE STARTSWITH(c.id, '"+id[:len(id)-1]+"')",
		azcosmos.NewPartitionKey(), nil).NextPage(ctx)
	if err != nil || len(listed.Items) != 1 {
		t.Fatal(len(listed.Items), err)
	}
	everything := azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}
	polled, err := docs.ReadChangeFeed(ctx, &azcosmos.ChangeFeedOptions{FeedRange: &everything})
	if err != nil {
		t.Fatal(err)
	}
	return prices{float64(polled.RequestCharge), float64(listed.RequestCharge), float64(read.RequestCharge), float64(replaced.RequestCharge)}
}

func sum(rates map[purpose.Purpose]rate) (units float64) {
	for _, r := range rates {
		units += r.units
	}
	return units
}

func mustDuration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
