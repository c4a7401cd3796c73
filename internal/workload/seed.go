package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/sourcegraph/conc/pool"
)

// seeders bounds the writes of the seed that run at once.
const seeders = 8

// register writes the subscriptions and their partition keys.
func (f *FrontEnd) register(ctx context.Context) error {
	p := pool.New().WithMaxGoroutines(seeders).WithContext(ctx).WithCancelOnError().WithFirstError()
	for i, id := range f.plan.Subscriptions() {
		p.Go(func(ctx context.Context) error {
			d := subscriptionDocument(id, Generation(i%3))
			if err := upsert(ctx, f.store.resources, id, d); err != nil {
				return err
			}
			return upsert(ctx, f.store.partitionKeys, partitionKeysPartition, partitionKeyDocument(id))
		})
	}
	return p.Wait()
}

func upsert(ctx context.Context, c *azcosmos.ContainerClient, partition string, d map[string]any) error {
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode document: %w", err)
	}
	if _, err := c.UpsertItem(ctx, azcosmos.NewPartitionKeyString(partition), body, nil); err != nil {
		return fmt.Errorf("upsert document %s into %s: %w", text(d, "id"), c.ID(), err)
	}
	return nil
}

// plant makes cycle after cycle ready and hands it over, until ctx ends.
func (f *FrontEnd) plant(ctx context.Context, cycles chan<- Cycle) error {
	for n := 0; ; n++ {
		c := f.plan.Cycle(n)
		if err := f.makeReady(ctx, c.Ready); err != nil {
			return fmt.Errorf("seed resources: %w", err)
		}
		select {
		case cycles <- c:
		case <-ctx.Done():
			return nil
		}
	}
}

// makeReady gives resources an object in Cluster Service and a document.
func (f *FrontEnd) makeReady(ctx context.Context, ts []Target) error {
	byPartition := map[string][]Target{}
	var partitions []string
	for _, t := range ts {
		if t.Kind == Credential {
			if err := f.admin.plant(ctx, t.Object(), "issued"); err != nil {
				return err
			}
			continue // it has no document
		}
		if err := f.admin.plant(ctx, t.Object(), "ready"); err != nil {
			return err
		}
		if !slices.Contains(partitions, t.Subscription) {
			partitions = append(partitions, t.Subscription)
		}
		byPartition[t.Subscription] = append(byPartition[t.Subscription], t)
	}
	for _, partition := range partitions {
		for _, t := range byPartition[partition] {
			if err := f.createReady(ctx, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *FrontEnd) createReady(ctx context.Context, t Target) error {
	body, err := json.Marshal(t.document(link{State: "Succeeded", InternalID: t.InternalID()}))
	if err != nil {
		return fmt.Errorf("encode document: %w", err)
	}
	_, err = f.store.resources.CreateItem(ctx, azcosmos.NewPartitionKeyString(t.Subscription), body, nil)
	if status(err) == http.StatusConflict {
		return fmt.Errorf("%s exists already: this database holds the work of seed %d; choose another", t.ResourceID(), f.cfg.Seed)
	}
	if err != nil {
		return fmt.Errorf("create document %s: %w", t.DocumentID, err)
	}
	return nil
}
