// Package workload is a seeded front end and the measure of its operations.
//
// A [FrontEnd] does what the resource provider's front end does for every
// long-running request: it takes the subscription's lock, calls Cluster
// Service, and writes the operation and its resource in one transactional
// batch. It follows each operation through the container's change feed until
// its status is terminal, and at the end holds every document against what
// the Cluster Service simulator did.
//
// It talks to Cosmos DB with azcosmos and to Cluster Service with ocm-sdk-go,
// over sockets or over injected transports, so that `opfeed-dev up` and
// `opfeed-dev load` run the same code.
package workload
