package figures_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"opfeed/internal/purpose"
)

// frugalVariables make opfeed do things as rarely as .NET's processor does.
var frugalVariables = map[string]string{
	"OPFEED_FEED_INTERVAL":          "5s",
	"OPFEED_LEASE_ACQUIRE_INTERVAL": "13s",
	"OPFEED_LEASE_RENEW_INTERVAL":   "17s",
	"OPFEED_LEASE_EXPIRY":           "60s",
	"OPFEED_SHUTDOWN_TIMEOUT":       "35s", // or it would not last until others have asked for the leases
}

// idlePurposes are those on which an idle replica spends, and what it does.
var idlePurposes = []struct {
	purpose purpose.Purpose
	what    string
}{
	{purpose.Feed, "the change feed is read, which has nothing"},
	{purpose.LeaseList, "the leases are listed"},
	{purpose.Lease, "the lease is renewed, a replacement"},
	{purpose.List, "the backstop lists what is pending, and links"},
	{purpose.Registry, "the subscriptions are read"},
	{purpose.Quarantine, "quarantine records: none is held, none is asked for"},
	{purpose.Metadata, "the account's regions, by azcosmos"},
}

// dotnetRates are what .NET's processor spends with some intervals, in seconds: a
// poll for each range, a read and a replacement of each lease, a query by each host.
func dotnetRates(p prices, poll, acquire, renew float64) map[purpose.Purpose]rate {
	return map[purpose.Purpose]rate{
		purpose.Feed:      {1 / poll, p.poll / poll},
		purpose.LeaseList: {1 / acquire, p.list / acquire},
		purpose.Lease:     {2 / renew, (p.read + p.replace) / renew},
	}
}

// costPage is what the page says of it.
func costPage(defaults, frugal map[purpose.Purpose]rate, net prices) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }

	say("| purpose | what is done | requests/s | RU/s |\n|---|---|---|---|\n")
	requests, polls := 0.0, defaults[purpose.Feed]
	for _, p := range idlePurposes {
		r := defaults[p.purpose]
		requests += r.requests
		say("| `%s` | %s | %.3f | %.2f |\n", p.purpose, p.what, r.requests, r.units)
	}
	say("| **in all** | | **%.3f** | **%.2f** |\n", requests, sum(defaults))

	say("\nWhat an empty poll costs is not published. The sum is %.2f RU/s and %.2f times that price.\n",
		sum(defaults)-polls.units, polls.requests)

	columns := []map[purpose.Purpose]rate{
		defaults, dotnetRates(net, 5, 13, 17), dotnetRates(net, 0.25, 2, 4), frugal,
	}
	say("\n| RU/s | opfeed, defaults | .NET, defaults | .NET, as fast as opfeed | opfeed, as rare as .NET |\n|---|---|---|---|---|\n")
	for _, p := range idlePurposes {
		say("| `%s` |", p.purpose)
		for _, rates := range columns {
			if r, ok := rates[p.purpose]; ok && r.requests > 0 {
				say(" %.2f |", r.units)
			} else {
				say(" – |")
			}
		}
		say("\n")
	}
	say("| **in all** |")
	for _, rates := range columns {
		say(" **%.2f** |", sum(rates))
	}
	say("\n\nPrices of .NET's requests: an empty poll %.2f RU, the query for one lease %.2f, the read of a lease %.2f, its replacement %.2f.\n",
		net.poll, net.list, net.read, net.replace)
	var variables []string
	for _, name := range slices.Sorted(maps.Keys(frugalVariables)) {
		variables = append(variables, "`"+name+"="+frugalVariables[name]+"`")
	}
	say("The last column is measured, with %s.\n", strings.Join(variables, ", "))
	return b.String()
}
