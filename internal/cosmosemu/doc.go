// Package cosmosemu is an in-memory account of Azure Cosmos DB for NoSQL, as an
// http.Handler: the REST surface that azcosmos uses, close enough to run what
// was written for the service, unchanged, in a test or on a laptop.
//
// Emulated:
//
//   - the account, which advertises the address it was asked at; databases and
//     containers (create, read, replace, delete, list, query); a container's
//     definition is returned as it came, with version 2 of the partition key's
//     hash where none was given
//   - partition key ranges: as many as Container.Ranges or the throughput asks
//     for, one for each 10,000 RU/s begun; Split and Merge at run time, at once or
//     with a hold between. pkranges lists the live ones; who names another gets
//     410/1002, during a hold 410/1007. Requests by partition key never notice
//   - positions in the feed, session tokens and the tokens of paging go on
//     through splits and merges
//   - items: create, read, replace, upsert, patch, delete, If-Match and
//     If-None-Match, Prefer: return=minimal, hierarchical partition keys
//   - atomic batches; patches with conditions
//   - queries, see package sql: in one logical partition, with the partition key
//     in a header or in WHERE; across them, what the service's gateway answers;
//     paging; index metrics, which pretend that all that WHERE looks at has an
//     index; and the plain list of items
//   - query plans, by their own request and, as additionalErrorInfo, in the
//     refusal of what the gateway does not serve, so that a client can put the
//     answers of the ranges together itself (the JavaScript SDK does)
//   - the change feed, incremental: from the beginning, from now, from a
//     position, after a time (exclusive, in whole seconds); per range, partition
//     key, or range of effective partition keys (but for IgnoreEPKHeaders), which
//     queries and lists know, too; a page never tears a commit
//   - time to live, by a clock that can be advanced, without goroutines: what has
//     expired is gone at once, from the second _ts + ttl on
//   - session tokens "<range>:-1#<lsn>", also on refusals; reading with a token
//     that is ahead is 404/1002
//   - request charges, by the model of RequestCharges, see
//     docs/request-units.md; statistics of them, also at GET /_emulator/stats
//   - the throughput of databases and containers, manual and autoscale, and
//     their offers: read, replace, list, query; with Options.EnforceThroughput,
//     a budget for each physical partition, and 429 with a time to wait
//   - faults, see Effect: rules by kind of request, container, range, key, item
//     and client let it refuse, wait, close the connection, lose a reply after
//     the write, lag, lie on the change feed, write in between, split a range
//   - a log of requests, and an administrator's HTTP, see Server.Admin
//   - the master key, with the clock check; Entra ID tokens in the unsigned form
//     that Microsoft's emulator takes, for the data plane only
//   - the two gateways of the service: Server takes every id, RoutingGateway
//     refuses those that cannot be addressed through most accounts' gateway
//
// Not emulated: the migration of an offer from manual to autoscale, burst
// capacity, the throttling of metadata; stored procedures, triggers, user
// defined functions; unique keys; computed properties; indexing (policies are
// returned, not applied; every query is allowed); consistency levels; several
// regions; attachments, conflicts, users and permissions; batches that are not
// atomic; the change feed with all versions and deletes. What is
// asked for and not known is refused, with a message that names it.
//
// Where the service's behaviour is not documented, the less convenient one was
// chosen: patch operations without a value are 400 (azcosmos leaves out a nil
// value), and an undefined argument makes ARRAY_CONTAINS undefined, so that NOT
// of it selects nothing. The debt of a request that cost more than was left is
// taken from the seconds that follow. Not verified against the service: that a
// range's parents are all its ancestors, and that effective partition keys
// outside the range named with them are 410/1002. A container with version 1 of
// the hash has one range.
//
// A fault is this emulator's, not the service's: what it answers has the form of
// the service's answer, but whether the service would give it then is not its
// question. With faults, replicas lag (history.go) as reads without a session
// token may see it under the service's weaker consistency levels; how far the
// service's replicas are apart is not published.
//
// # Structure
//
// server.go takes a request through its stages, on one exchange: locate, in
// route.go; authenticate, in auth.go; the faults, in faulty.go, if rules hit it;
// the handler. It is noted in the statistics and the log right before its answer
// begins. Handlers know the wire
// format. They find the physical partition through routing, which is immutable
// and replaced as a whole; a partition stores items and knows neither. Each
// partition has one log of commits: its sequence number grows by one with every
// commit, a batch is one commit, and the log in that order is the change feed.
//
// A split or a merge, in split.go, makes heirs of partitions under their locks
// and retires them. A request that still comes to a retired one is told so under
// the same lock, and dispatch hands it to its handler again: it is served by
// exactly one live partition, or refused by name.
package cosmosemu
