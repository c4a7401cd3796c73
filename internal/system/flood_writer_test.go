package system_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/google/uuid"
	"github.com/sourcegraph/conc"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/workload"
)

// written is one operation of the flood, or of the quiet traffic beside it, and what
// became of it.
type written struct {
	workload.Single
	quiet bool

	ended   time.Time // when the change feed showed the first terminal status; zero: it did not
	status  string    // that status
	changed string    // a later one that differs: it must not
}

// scribe writes operations as front ends do, and reads the change feed for their
// ends. It keeps no document: what it wrote follows from the request.
type scribe struct {
	t         *testing.T
	csURL     string
	container *azcosmos.ContainerClient
	http      *http.Client

	mu      sync.Mutex
	all     []*written
	byKey   map[[2]string]*written
	pending [2]int // of the flood, of the quiet
	trouble []string
}

func (f *fleet) scribe() *scribe {
	f.t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		f.t.Fatal(err)
	}
	o := &azcosmos.ClientOptions{}
	o.Telemetry.ApplicationID = "frontend"
	client, err := azcosmos.NewClientWithKey(f.cosmosURL, key, o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(client.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	f.t.Cleanup(transport.CloseIdleConnections)
	s := &scribe{
		t: f.t, csURL: f.csURL, byKey: map[[2]string]*written{},
		http: &http.Client{Transport: transport, Timeout: time.Minute},
	}
	if s.container, err = client.NewContainer(database, "Resources"); err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.t.Context()))
	var following conc.WaitGroup
	following.Go(func() { s.follow(ctx) })
	f.t.Cleanup(func() { cancel(); following.Wait() })
	return s
}

// floodedIn names the n-th subscription of a group.
func floodedIn(group string, n int) string { return uuidOf(group, n).String() }

func uuidOf(group string, n int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%s %d", group, n))
}

// hostedBy is how many operations of a subscription are about one cluster's children.
const hostedBy = 50

// draw is the n-th operation of a subscription, and the state in which its object is
// planted: three quarters are creates, and some of those fail. The quiet ones are
// about clusters alone: lists show clusters only to who asks for them by name, so
// that the first question for one is from who knows of it.
func draw(subscription string, n int, quiet bool) (s workload.Single, state string) {
	id := func(what string, n int) string {
		return strings.ReplaceAll(uuidOf(subscription+what, n).String(), "-", "")
	}
	t := workload.Target{
		Kind: workload.Cluster, Generation: workload.Generation(n % 3), Variant: n % 2, Subscription: subscription,
		Group: "flood", Cluster: fmt.Sprintf("cluster-%d", n), ClusterID: id("cluster", n),
		DocumentID: uuidOf(subscription+"document", n).String(),
	}
	child := func(kind workload.Kind) {
		t.Kind, t.Child, t.ChildID = kind, fmt.Sprintf("child-%d", n), id("child", n)
		t.Cluster, t.ClusterID = fmt.Sprintf("host-%d", n/hostedBy), id("host", n/hostedBy)
	}
	request, state := workload.Create, "validating"
	switch n % 10 {
	case 3:
		if n%20 == 3 {
			state = "error"
		}
	case 4, 5:
		if !quiet {
			child(workload.NodePool)
		}
	case 6:
		if !quiet {
			child(workload.ExternalAuth)
			state = "ready"
		}
	case 7:
		request, state = workload.Delete, "uninstalling"
	case 8:
		request, state = workload.Delete, "uninstalling"
		if !quiet {
			child(workload.NodePool)
		}
	}
	o := workload.Named{ID: uuidOf(subscription+"operation", n).String(), Client: id("client", n), Chain: id("chain", n), Variant: n % 4}
	return workload.Single{Target: t, Request: request, Named: o}, state
}

// write writes operations of one subscription in one transaction, their objects
// before.
func (s *scribe) write(ctx context.Context, subscription string, from, to int, quiet bool) error {
	batch := s.container.NewTransactionalBatch(azcosmos.NewPartitionKeyString(subscription))
	var fresh []*written
	for n := from; n < to; n++ {
		single, state := draw(subscription, n, quiet)
		if err := s.plant(ctx, single.Target.Object(), state); err != nil {
			return err
		}
		fresh = append(fresh, &written{Single: single, quiet: quiet})
	}
	now := time.Now()
	for _, w := range fresh {
		w.Written = now
		operation, resource, err := w.Documents()
		if err != nil {
			return err
		}
		batch.CreateItem(operation, nil)
		batch.CreateItem(resource, nil)
	}
	s.add(fresh)
	r, err := s.container.ExecuteTransactionalBatch(ctx, batch, nil)
	if err != nil {
		return fmt.Errorf("write operations: %w", err)
	}
	if !r.Success {
		return fmt.Errorf("write operations: refused: %+v", r.OperationResults[0])
	}
	return nil
}

// plant makes an object of Cluster Service, whose life goes on from a state. The
// administration of the simulator is under no fault.
func (s *scribe) plant(ctx context.Context, internalID, state string) error {
	body, err := json.Marshal(map[string]string{"internalId": internalID, "state": state})
	if err != nil {
		return err
	}
	return s.post(ctx, s.csURL+"/_simulator/objects", body)
}

func (s *scribe) post(ctx context.Context, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	words, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("POST %s answered %d: %s", url, resp.StatusCode, words)
	}
	return err
}

func (s *scribe) add(fresh []*written) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range fresh {
		s.all = append(s.all, w)
		s.byKey[[2]string{w.Target.Subscription, w.DocumentID()}] = w
		s.pending[side(w.quiet)]++
	}
}

func side(quiet bool) int {
	if quiet {
		return 1
	}
	return 0
}

// unended is how many operations have not been seen to end.
func (s *scribe) unended(quiet bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending[side(quiet)]
}

// fail notes what the scribe could not do.
func (s *scribe) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = append(s.trouble, err.Error())
}

// flood writes so many operations in each of so many subscriptions, evenly within a
// time, and returns when all are written.
func (s *scribe) flood(ctx context.Context, subscriptions, each int, within time.Duration) {
	const together = 50 // operations, and their resources: a transaction has 100 at most
	start := time.Now()
	var wg conc.WaitGroup
	for n := range subscriptions {
		wg.Go(func() {
			subscription := floodedIn("flood", n)
			for from := 0; from < each; from += together {
				at := time.Duration(float64(within) * float64(from) / float64(each))
				if !reaches(ctx, start.Add(at)) {
					return
				}
				if err := s.write(ctx, subscription, from, min(from+together, each), false); err != nil {
					s.fail(err)
				}
			}
		})
	}
	wg.Wait()
}

// quiet writes so many operations a second, one after the other in each of so many
// subscriptions, until ctx ends. One that takes long does not move the next.
func (s *scribe) quiet(ctx context.Context, subscriptions int, rate float64) {
	writing := context.WithoutCancel(ctx) // what was begun is ended
	var wg conc.WaitGroup
	defer wg.Wait()
	start := time.Now()
	for n := 0; ; n++ {
		if !reaches(ctx, start.Add(time.Duration(float64(n)/rate*float64(time.Second)))) {
			return
		}
		wg.Go(func() {
			in := floodedIn("quiet", n%subscriptions)
			if err := s.write(writing, in, n, n+1, true); err != nil {
				s.fail(err)
			}
		})
	}
}

// reaches waits for a moment, and says whether it came before the end of ctx.
func reaches(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// follow reads the change feed for the ends of operations, until ctx ends.
func (s *scribe) follow(ctx context.Context) {
	whole := azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}
	var from *string
	for ctx.Err() == nil {
		r, err := s.container.ReadChangeFeed(ctx, &azcosmos.ChangeFeedOptions{MaxItemCount: 1000, FeedRange: &whole, Continuation: from})
		if err != nil && ctx.Err() == nil {
			s.fail(fmt.Errorf("read the change feed: %w", err))
		}
		if err == nil {
			s.see(r.Items, time.Now())
			if r.ContinuationToken != "" {
				from = &r.ContinuationToken
			}
		}
		if len(r.Items) == 0 {
			reaches(ctx, time.Now().Add(100*time.Millisecond))
		}
	}
}

func (s *scribe) see(items [][]byte, now time.Time) {
	for _, item := range items {
		var o struct {
			ID, PartitionKey string
			Properties       struct{ Status string }
		}
		if json.Unmarshal(item, &o) != nil || !slices.Contains([]string{"Succeeded", "Failed", "Canceled"}, o.Properties.Status) {
			continue
		}
		s.mu.Lock()
		switch w := s.byKey[[2]string{o.PartitionKey, o.ID}]; {
		case w == nil:
		case w.ended.IsZero():
			w.ended, w.status = now, o.Properties.Status
			s.pending[side(w.quiet)]--
		case w.status != o.Properties.Status:
			w.changed = o.Properties.Status
		}
		s.mu.Unlock()
	}
}

// verdict is what became of all that was written.
type verdict struct {
	operations, ended int
	byStatus          map[string]int
	wrong             []string
	pickups           []pickup // of quiet operations, in order of time
}

type pickup struct {
	written time.Time
	took    time.Duration
}

// judge holds every operation and its resource, as they are stored, to what
// Cluster Service did.
func (s *scribe) judge(ctx context.Context) (verdict, error) {
	resp, err := s.http.Get(s.csURL + "/_simulator/journal")
	if err != nil {
		return verdict{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return verdict{}, err
	}
	objects, err := workload.ReadObjects(text)
	if err != nil {
		return verdict{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := map[string][]*written{}
	for _, w := range s.all {
		of[w.Target.Subscription] = append(of[w.Target.Subscription], w)
	}
	v := verdict{operations: len(s.all), byStatus: map[string]int{}}
	for subscription, list := range of {
		stored, err := s.read(ctx, subscription)
		if err != nil {
			return verdict{}, err
		}
		for _, w := range list {
			v.add(w, stored, objects)
		}
	}
	slices.SortFunc(v.pickups, func(a, b pickup) int { return a.written.Compare(b.written) })
	return v, nil
}

func (v *verdict) add(w *written, stored map[string][]byte, objects *workload.Objects) {
	operation := stored[w.DocumentID()]
	words := w.Mismatches(operation, stored[w.Target.DocumentID], w.ended, objects)
	if w.changed != "" {
		words = append(words, fmt.Sprintf("a terminal status changed from %s to %s", w.status, w.changed))
	}
	if w.ended.IsZero() {
		words = append(words, "the change feed never showed its end")
	} else {
		v.ended++
		v.byStatus[w.status]++
	}
	for _, word := range words {
		v.wrong = append(v.wrong, fmt.Sprintf("%s of %s: %s", w.Request, w.Target.ResourceID(), word))
	}
	if !w.quiet {
		return
	}
	at, asked := objects.PickedUp(w.Single)
	if !asked {
		v.wrong = append(v.wrong, fmt.Sprintf("%s of %s: nobody asked for its object", w.Request, w.Target.ResourceID()))
		return
	}
	v.pickups = append(v.pickups, pickup{w.Written, at.Sub(w.Written)})
}

// read reads all documents of a subscription.
func (s *scribe) read(ctx context.Context, subscription string) (map[string][]byte, error) {
	stored := map[string][]byte{}
	for pages := s.container.NewQueryItemsPager("SELECT * FROM c", azcosmos.NewPartitionKeyString(subscription), nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read documents: %w", err)
		}
		for _, item := range page.Items {
			var d struct{ ID string }
			if err := json.Unmarshal(item, &d); err != nil {
				return nil, err
			}
			stored[d.ID] = item
		}
	}
	return stored, nil
}

// quantile of the pickups of what was written within a span of time, by the nearest
// rank.
func (v *verdict) quantile(from, to time.Time, q float64) (took time.Duration, of int) {
	var list []time.Duration
	for _, p := range v.pickups {
		if !p.written.Before(from) && p.written.Before(to) {
			list = append(list, p.took)
		}
	}
	if len(list) == 0 {
		return 0, 0
	}
	slices.Sort(list)
	return list[max(int(math.Ceil(q*float64(len(list)))), 1)-1], len(list)
}
