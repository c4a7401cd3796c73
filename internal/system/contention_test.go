package system_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/internal/workload"
)

// distant is a transport to which each round trip takes a while, half of it on the
// way there.
type distant struct {
	next policy.Transporter
	trip time.Duration
}

// Do implements policy.Transporter.
func (d distant) Do(req *http.Request) (*http.Response, error) {
	time.Sleep(d.trip / 2)
	resp, err := d.next.Do(req)
	time.Sleep(d.trip / 2)
	return resp, err
}

// TestLockIsRarelyMet asks for the lock of a subscription as a front end does, five
// times a second, while about 200 operations are pending in it, at the pace of the
// real Cluster Service and with 5 ms for each round trip of opfeed.
func TestLockIsRarelyMet(t *testing.T) {
	if !*limits {
		t.Skip("SKIPPED: takes minutes, make limits runs it")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cs = cssim.New(cssim.Options{Seed: 2, FailureRate: 0.1})
		r := w.start(distant{inproc.New(w.cosmos), 5 * time.Millisecond})
		time.Sleep(settle)
		f := w.frontEnd(func(c *workload.Config) {
			c.Subscriptions, c.Rate, c.For, c.Drain = 1, 0.45, 50*time.Minute, time.Hour
		})
		subscription := workload.NewPlan(workload.DefaultConfig().Seed, 1).Subscriptions()[0]
		ended := make(chan workload.Report, 1)
		go func() {
			report, err := f.Run(t.Context())
			if err != nil {
				t.Error(err)
			}
			ended <- report
		}()
		time.Sleep(20 * time.Minute)

		locks := w.locks()
		rng := rand.New(rand.NewPCG(5, 5))
		attempts, met, pending := 0, 0, 0
		for start := time.Now(); time.Since(start) < 30*time.Minute; attempts++ {
			time.Sleep(100*time.Millisecond + time.Duration(rng.Int64N(int64(200*time.Millisecond))))
			pending += r.Snapshot().Pending
			owner, taken := tryLock(t, locks, subscription)
			if !taken && strings.HasPrefix(owner, "replica-") {
				met++
			}
		}
		share := 100 * float64(met) / float64(attempts)
		t.Logf("%d operations pending on average; of %d attempts %d met the lock held by opfeed: %.2f %%",
			pending/attempts, attempts, met, share)
		if pending/attempts < 190 || attempts < 5000 {
			t.Errorf("%d pending, %d attempts: too few to prove anything", pending/attempts, attempts)
		}
		if share > 1 {
			t.Errorf("a front end meets the lock held in %.2f %% of its attempts, want at most 1 %%", share)
		}
		w.want(<-ended, 500)
	})
}

// locks is the container of locks as a front end sees it.
func (w *world) locks() *azcosmos.ContainerClient {
	w.t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(w.cosmosURL(frontEnd), key, &azcosmos.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: inproc.New(w.cosmos)}})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := client.NewContainer(database, "Locks")
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// tryLock takes the lock and gives it back at once, or says who has it.
func tryLock(t *testing.T, locks *azcosmos.ContainerClient, subscription string) (owner string, taken bool) {
	t.Helper()
	key := azcosmos.NewPartitionKeyString(subscription)
	body, err := json.Marshal(map[string]any{"id": subscription, "owner": "prober", "ttl": 10})
	if err != nil {
		t.Fatal(err)
	}
	made, err := locks.CreateItem(t.Context(), key, body, nil)
	if err == nil {
		_, _ = locks.DeleteItem(t.Context(), key, subscription, &azcosmos.ItemOptions{IfMatchEtag: &made.ETag})
		return "", true
	}
	held, err := locks.ReadItem(t.Context(), key, subscription, nil)
	if err != nil {
		return "", false // given back meanwhile: whose it was is not known
	}
	var lock struct{ Owner string }
	if err := json.Unmarshal(held.Value, &lock); err != nil {
		t.Fatal(err)
	}
	return lock.Owner, false
}
