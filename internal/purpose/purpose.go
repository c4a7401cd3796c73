// Package purpose says, in a context, what a request to Cosmos DB is for, where
// its path and its headers do not tell: a query looks like any other. Who meters
// requests reads it; nobody decides by it.
package purpose

import "context"

// Purpose is the value of a metric's label: one word of a few.
type Purpose string

// The purposes.
const (
	Feed       Purpose = "feed"       // reads of the change feed
	LeaseList  Purpose = "lease_list" // lists of the leases
	Lease      Purpose = "lease"      // reads and writes of one lease: renewals, checkpoints, changes of hands
	Quarantine Purpose = "quarantine" // quarantine records
	List       Purpose = "list"       // what is pending, listed on takeover and by the backstop
	Registry   Purpose = "registry"   // which subscriptions there are
	Operation  Purpose = "operation"  // reads and writes of operations and resources
	Lock       Purpose = "lock"       // subscription locks
	Billing    Purpose = "billing"    // what is to be paid for
	Metadata   Purpose = "metadata"   // account, databases, containers, ranges
)

// All lists the purposes, in an order for people.
func All() []Purpose {
	return []Purpose{Feed, LeaseList, Lease, Quarantine, List, Registry, Operation, Lock, Billing, Metadata}
}

type key struct{}

// With returns a context whose requests are for p.
func With(ctx context.Context, p Purpose) context.Context {
	return context.WithValue(ctx, key{}, p)
}

// Of returns what the requests of a context are for, or "" where nobody said.
func Of(ctx context.Context) Purpose {
	p, _ := ctx.Value(key{}).(Purpose)
	return p
}
