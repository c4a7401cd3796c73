package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// journal is what the simulator says about its objects. Decoding ignores the
// case of names and what it does not know.
type journal struct{ Objects []object }

type object struct {
	InternalID string
	State      string
	Gone       bool
	Expires    time.Time // of a credential
	Mutations  []mutation
}

type mutation struct {
	Kind         string // planted, create, update, delete, revoke
	At           time.Time
	Outcome      string // ready, error, gone; of a credential issued, failed, revoked; "" = not reached yet
	OutcomeAt    time.Time
	ErrorCode    string
	ErrorMessage string
	FirstRead    map[string]time.Time
}

// charges is what the emulator says about request units.
type charges struct{ Charges []charge }

type charge struct {
	Agent, Database, Container, Kind string
	Requests                         int64
	RequestUnits                     float64
}

// admin reads and commands the emulator, the simulator and the service over
// their own, plain HTTP surfaces.
type admin struct {
	cfg                             Config
	cosmos, clusterService, watcher *http.Client
}

func newAdmin(cfg Config, deps Deps) *admin {
	client := func(t http.RoundTripper) *http.Client {
		return &http.Client{Transport: t, Timeout: clusterServiceTimeout}
	}
	a := &admin{cfg: cfg}
	a.clusterService = client(deps.ClusterServiceTransport)
	a.watcher = client(deps.ServiceTransport)
	a.cosmos = client(nil)
	if deps.CosmosTransport != nil {
		a.cosmos = client(doer{deps.CosmosTransport})
	}
	return a
}

// doer makes a RoundTripper of what azcore calls a Transporter.
type doer struct {
	do interface {
		Do(*http.Request) (*http.Response, error)
	}
}

func (d doer) RoundTrip(r *http.Request) (*http.Response, error) { return d.do.Do(r) }

// plant makes an object in the simulator, in a state.
func (a *admin) plant(ctx context.Context, internalID, state string) error {
	body, err := json.Marshal(map[string]string{"internalId": internalID, "state": state})
	if err != nil {
		return fmt.Errorf("encode object: %w", err)
	}
	if err := a.do(ctx, a.clusterService, http.MethodPost, a.cfg.ClusterServiceURL, "/_simulator/objects", body, nil); err != nil {
		return fmt.Errorf("plant %s: %w", internalID, err)
	}
	return nil
}

func (a *admin) journal(ctx context.Context) (journal, error) {
	var j journal
	err := a.do(ctx, a.clusterService, http.MethodGet, a.cfg.ClusterServiceURL, "/_simulator/journal", nil, &j)
	if err != nil {
		return j, fmt.Errorf("read journal: %w", err)
	}
	return j, nil
}

func (a *admin) charges(ctx context.Context) (charges, error) {
	var c charges
	if err := a.do(ctx, a.cosmos, http.MethodGet, a.cfg.CosmosURL, "/_emulator/stats", nil, &c); err != nil {
		return c, fmt.Errorf("read request charges: %w", err)
	}
	return c, nil
}

func (a *admin) do(ctx context.Context, c *http.Client, method, base, path string, body []byte, into any) error {
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(base, "/")+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", frontEndAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		words, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return fmt.Errorf("%s %s answered %d: %s", method, path, resp.StatusCode, strings.TrimSpace(string(words)))
	}
	if into == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// watched is what the report needs of a replica's snapshot.
type watched struct {
	Instance string
	Ranges   []struct {
		Token string
		Mine  bool
	}
	LeftAlone        int
	Quarantined      []struct{ Partition, ID, ETag string }
	QuarantinedTotal int // of which these are the newest
	Recovered        int64
}

var errNoServiceURL = errors.New("no URL of the service was given (load takes it with --service)")

// snapshots asks each replica how it is. The error is of the first that did not
// answer; the others are returned.
func (a *admin) snapshots(ctx context.Context) (answered []watched, err error) {
	if len(a.cfg.ServiceURLs) == 0 {
		return nil, errNoServiceURL
	}
	for _, url := range a.cfg.ServiceURLs {
		var s watched
		switch failed := a.do(ctx, a.watcher, http.MethodGet, url, "/api/v1/snapshot", nil, &s); {
		case failed == nil:
			answered = append(answered, s)
		case err == nil:
			err = fmt.Errorf("the service did not answer: %w", failed)
		}
	}
	return answered, err
}
