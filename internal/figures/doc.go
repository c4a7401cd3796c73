// Package figures measures what is claimed of opfeed, and holds the pages that
// claim it to what it measures: what an idle replica costs (docs/request-units.md),
// and how long a range is without a reader when its owner dies, stops, or hands it
// over (docs/failover.md). It has tests only.
package figures
