// Package service is one replica of opfeed: its configuration, what it is wired
// from, and what it tells the outside.
//
// A Service waits for Cosmos DB, checks the containers it is told to use, and
// then runs the change feed processor until its context ends. Meanwhile it serves
//
//	/healthz          200 as long as the process answers
//	/readyz           200, or 503 with the conditions that do not hold
//	/metrics          Prometheus
//	/api/v1/snapshot  a Snapshot as JSON
//
// What is absent (Cosmos DB, Cluster Service, a container) never ends it: it says
// why, once per change, tries again with a growing, random pause, and is not
// ready until then.
package service
