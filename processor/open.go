package processor

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/leases"
)

// setupError is something that a person has to put right.
type setupError struct{ text string }

func (e *setupError) Error() string { return e.text }

// open finds the containers as they must be, and with them the leases and the
// handler. It tries again while there is no answer, and fails where one says that
// this is of no use.
func (p *Processor) open(ctx context.Context) error {
	if p.opened() != nil && p.handler.each == nil {
		return nil
	}
	trouble := outage{log: p.log, what: "containers"}
	for attempt := 0; ; attempt++ {
		err := p.find(ctx)
		if err == nil {
			trouble.over()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if hopelessSetup(err) {
			return fmt.Errorf("open containers: %w", err)
		}
		trouble.begin(err)
		sleep(ctx, backoff(attempt))
	}
}

// hopelessSetup tells a refusal from an outage.
func hopelessSetup(err error) bool {
	if _, wrong := errors.AsType[*setupError](err); wrong {
		return true
	}
	refused, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && (absent(refused) || noDatabase(refused) || refused.StatusCode == http.StatusUnauthorized || refused.StatusCode == http.StatusForbidden)
}

// noDatabase says whether the account answered that the container's database does
// not exist.
func noDatabase(e *azcore.ResponseError) bool {
	return e.StatusCode == http.StatusNotFound && e.RawResponse != nil &&
		e.RawResponse.Header.Get("x-ms-substatus") == "1003" && e.RawResponse.Header.Get("x-ms-request-charge") != ""
}

// find makes one try.
func (p *Processor) find(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ReadTimeout)
	defer cancel()
	monitored, err := readContainer(ctx, p.deps.Monitored)
	if err != nil {
		return fmt.Errorf("read monitored container: %w", err)
	}
	k, err := newKeys(&monitored.ContainerProperties.PartitionKeyDefinition, p.handler.each != nil)
	if err != nil {
		return &setupError{fmt.Sprintf("monitored container %q %v", p.deps.Monitored.ID(), err)}
	}
	if p.opened() == nil {
		if err := p.findLeases(ctx, monitored); err != nil {
			return err
		}
	}
	p.keys = k
	if do := p.handler.each; do != nil {
		p.handler = each{do: do, container: p.deps.Monitored, keys: k}.handler()
	}
	return nil
}

func (p *Processor) findLeases(ctx context.Context, monitored azcosmos.ContainerResponse) error {
	found, err := readContainer(ctx, p.deps.Leases)
	if err != nil {
		return fmt.Errorf("read lease container: %w", err)
	}
	wrong := ""
	switch c := found.ContainerProperties; {
	case found.RawResponse.Request.URL.String() == monitored.RawResponse.Request.URL.String():
		wrong = "is the monitored one: the leases need one of their own"
	case !slices.Equal(c.PartitionKeyDefinition.Paths, []string{"/id"}):
		wrong = fmt.Sprintf("has partition key %s, want /id: name another container, or create it anew",
			strings.Join(c.PartitionKeyDefinition.Paths, ","))
	case c.DefaultTimeToLive == nil:
		wrong = "has time to live off: set its default time to live to -1, which is on without a default"
	case *c.DefaultTimeToLive != -1:
		wrong = "deletes what is not written for a while, positions included: set its default time to live to -1, which is on without a default"
	}
	if wrong != "" {
		return &setupError{fmt.Sprintf("lease container %q %s", p.deps.Leases.ID(), wrong)}
	}
	container := monitored.ContainerProperties.ResourceID
	database, err := databaseOf(container)
	if err != nil {
		return fmt.Errorf("read monitored container: %w", err)
	}
	host, err := hostOf(p.deps.Endpoint)
	if err != nil {
		return err // New has checked it
	}
	if err := p.lead(leases.Prefix(p.deps.Name, host, database, container)); err != nil {
		return &setupError{err.Error()} // metrics that another one has registered
	}
	return nil
}

// readContainer reads a container's definition, and believes only the account.
func readContainer(ctx context.Context, c *azcosmos.ContainerClient) (azcosmos.ContainerResponse, error) {
	reply, err := c.Read(ctx, nil)
	if err != nil {
		return reply, err
	}
	if p := reply.ContainerProperties; p == nil || p.ResourceID == "" || reply.RequestCharge <= 0 ||
		reply.RawResponse == nil || reply.RawResponse.Request == nil {
		return reply, errNotTheAccount
	}
	return reply, nil
}

// databaseOf gives the resource id of a container's database, which it begins
// with. The service writes - where base64 has /.
func databaseOf(containerRID string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(containerRID, "-", "/"))
	if err != nil || len(raw) != 8 {
		return "", fmt.Errorf("resource id %.40q is none of a container", containerRID)
	}
	return strings.ReplaceAll(base64.StdEncoding.EncodeToString(raw[:4]), "/", "-"), nil
}

func hostOf(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("Endpoint %.100q is no URL, such as Client.Endpoint() gives it", endpoint) //nolint:staticcheck // the name of a field
	}
	return u.Hostname(), nil
}

// giveUpAfter is Config.GiveUpAfter where it holds.
func (p *Processor) giveUpAfter() time.Duration {
	if p.handler.Pending != nil {
		return 0
	}
	return p.cfg.GiveUpAfter
}
