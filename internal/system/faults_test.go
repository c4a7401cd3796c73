package system_test

import (
	"maps"
	"net/http"
	"time"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
)

// trouble is a fault without its name. It hits the service alone.
type trouble[E fault.Effects] struct {
	match  fault.Match
	when   fault.When
	effect E
}

// rule is the fault as a rule; when replaces its own, if it is not nil.
func (d trouble[E]) rule(name string, when *fault.When) fault.Rule[E] {
	r := fault.Rule[E]{Name: name, Match: fault.Match{"agent": "opfeed"}, When: d.when, Effect: d.effect}
	maps.Copy(r.Match, d.match)
	if when != nil {
		r.When = *when
	}
	return r
}

// Some of the requests, so that the others get through.
func often() fault.When  { return fault.When{Probability: 0.3, Seed: 7} }
func rarely() fault.When { return fault.When{Probability: 0.05, Seed: 7} }

const (
	writes = "create|replace|upsert|patch|delete|batch"
	second = fault.Duration(time.Second)
)

// feed is what faults of the feed alone match, so that a hit is a read of it.
var feed = fault.Match{"kind": "feed"}

// cosmosFaults are what Cosmos DB can do, by name.
var cosmosFaults = map[string]trouble[cosmosemu.Effect]{
	"429 with retry-after": {nil, often(), cosmosemu.Effect{Substatus: 3200,
		Effect: fault.Effect{Status: http.StatusTooManyRequests, Header: map[string]string{"x-ms-retry-after-ms": "300"}}}},
	"429":               {nil, often(), answers(http.StatusTooManyRequests, 3200)},
	"449":               {fault.Match{"kind": writes}, often(), answers(449, 0)},
	"500":               {nil, often(), answers(http.StatusInternalServerError, 0)},
	"503":               {nil, often(), answers(http.StatusServiceUnavailable, 0)},
	"503 for 2 minutes": {nil, fault.When{Delay: 20 * second, For: 120 * second}, answers(http.StatusServiceUnavailable, 0)},
	"408":               {nil, often(), answers(http.StatusRequestTimeout, 0)},
	"401":               {nil, rarely(), answers(http.StatusUnauthorized, 5013)},
	"403/3":             {nil, rarely(), answers(http.StatusForbidden, 3)},
	"403/1008":          {nil, rarely(), answers(http.StatusForbidden, 1008)},
	"404/1002":          {nil, often(), answers(http.StatusNotFound, 1002)},
	"410/1002":          {nil, rarely(), answers(http.StatusGone, 1002)},
	"410/1007":          {nil, rarely(), answers(http.StatusGone, 1007)},
	"410/1008":          {nil, rarely(), answers(http.StatusGone, 1008)},
	"412":               {fault.Match{"kind": writes}, often(), answers(http.StatusPreconditionFailed, 0)},
	"slow":              {nil, often(), cosmosemu.Effect{Effect: fault.Effect{Before: second / 2, Jitter: 2 * second}}},
	"late replies":      {nil, often(), cosmosemu.Effect{Effect: fault.Effect{After: second / 2, Jitter: 2 * second}}},
	"too late":          {fault.Match{"kind": writes}, rarely(), cosmosemu.Effect{Effect: fault.Effect{After: 20 * second}}},
	"reset":             {nil, often(), cosmosemu.Effect{Effect: fault.Effect{Reply: fault.Reset}}},
	"reply lost":        {fault.Match{"kind": writes}, often(), cosmosemu.Effect{Effect: fault.Effect{Reply: fault.Reset, Applied: true}}},
	"refused, applied":  {fault.Match{"kind": writes}, often(), cosmosemu.Effect{Effect: fault.Effect{Status: http.StatusServiceUnavailable, Applied: true}}},
	"hang":              {nil, rarely(), cosmosemu.Effect{Effect: fault.Effect{Reply: fault.Hang}}},
	"hang, applied":     {fault.Match{"kind": writes}, rarely(), cosmosemu.Effect{Effect: fault.Effect{Reply: fault.Hang, Applied: true}}},
	"cut":               {nil, often(), cosmosemu.Effect{Effect: fault.Effect{Reply: fault.Cut}}},
	"short":             {nil, often(), cosmosemu.Effect{Effect: fault.Effect{Reply: fault.Short}}},
	"html":              {nil, rarely(), page(http.StatusBadRequest, nil)},
	"html 200":          {nil, rarely(), page(http.StatusOK, map[string]string{"etag": `"1"`, "x-ms-session-token": "0:-1#1"})},
	"feed hangs":        {feed, fault.When{Delay: 20 * second}, cosmosemu.Effect{Effect: fault.Effect{Reply: fault.Hang}}},
	"feed late":         {feed, fault.When{}, cosmosemu.Effect{FeedDelay: 20 * second}},
	"feed silent":       {feed, fault.When{}, cosmosemu.Effect{Feed: cosmosemu.FeedSilent}},
	"feed skips":        {feed, often(), cosmosemu.Effect{Feed: cosmosemu.FeedSkip}},
	"feed repeats":      {feed, often(), cosmosemu.Effect{Feed: cosmosemu.FeedRepeat}},
	"touched":           {fault.Match{"kind": writes, "container": "Resources|Leases"}, often(), cosmosemu.Effect{Touch: true}},
	"clock jumps":       {fault.Match{"kind": writes}, often(), cosmosemu.Effect{ClockJump: 11 * second}},
	"stale":             {fault.Match{"kind": "read|query|crossquery"}, fault.When{}, cosmosemu.Effect{Stale: 10 * second}},
}

// page is an answer of something between the service and Cosmos DB.
func page(status int, header map[string]string) cosmosemu.Effect {
	html := "<html>log in first</html>"
	return cosmosemu.Effect{Effect: fault.Effect{Status: status, Header: header, Body: &html}}
}

func answers(status, substatus int) cosmosemu.Effect {
	return cosmosemu.Effect{Effect: fault.Effect{Status: status}, Substatus: substatus}
}

// csFaults are what Cluster Service can do, by name.
var csFaults = map[string]trouble[cssim.Effect]{
	"429 with retry-after": {nil, often(), cssim.Effect{
		Effect: fault.Effect{Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3"}}}},
	"429": {nil, often(), says(http.StatusTooManyRequests)},
	"503 with retry-after": {nil, often(), cssim.Effect{
		Effect: fault.Effect{Status: http.StatusServiceUnavailable, Header: map[string]string{"Retry-After": "3"}}}},
	"503":               {nil, often(), says(http.StatusServiceUnavailable)},
	"500 for 2 minutes": {nil, fault.When{Delay: 20 * second, For: 120 * second}, says(http.StatusInternalServerError)},
	"401":               {nil, often(), says(http.StatusUnauthorized)},
	"no shard": {nil, often(), cssim.Effect{
		Effect: fault.Effect{Status: http.StatusNotFound}, Reason: "Unable to find shard for the cluster"}},
	"html":             {nil, often(), tells(http.StatusBadGateway, "text/html", "<html>bad gateway</html>")},
	"html 404":         {nil, often(), tells(http.StatusNotFound, "text/html", "<html>not found</html>")},
	"empty 404":        {nil, often(), tells(http.StatusNotFound, "application/json", "")},
	"empty object":     {nil, often(), tells(http.StatusOK, "application/json", "{}")},
	"slow":             {nil, often(), cssim.Effect{Effect: fault.Effect{Before: second, Jitter: 6 * second}}},
	"reset":            {nil, often(), cssim.Effect{Effect: fault.Effect{Reply: fault.Reset}}},
	"hang":             {nil, rarely(), cssim.Effect{Effect: fault.Effect{Reply: fault.Hang}}},
	"hang for minutes": {nil, fault.When{Delay: 20 * second, For: 120 * second}, cssim.Effect{Effect: fault.Effect{Reply: fault.Hang}}},
	"cut":              {nil, often(), cssim.Effect{Effect: fault.Effect{Reply: fault.Cut}}},
	"short":            {nil, often(), cssim.Effect{Effect: fault.Effect{Reply: fault.Short}}},
	"flapping":         {nil, fault.When{}, cssim.Effect{Flap: true}},
	"unknown state":    {nil, often(), cssim.Effect{State: "hibernating"}},
	"no state":         {nil, often(), cssim.Effect{Null: "state"}},
	"null booleans":    {fault.Match{"kind": "status", "object": "cluster"}, often(), cssim.Effect{Null: "dns_ready|oidc_ready"}},
	"no status":        {fault.Match{"kind": "get", "object": "externalauth"}, fault.When{}, cssim.Effect{Null: "status"}},
	"stale":            {nil, often(), cssim.Effect{Stale: 8 * second}},
	"clock skew":       {nil, fault.When{}, cssim.Effect{Skew: -3600 * second}},
}

func says(status int) cssim.Effect {
	return cssim.Effect{Effect: fault.Effect{Status: status}}
}

func tells(status int, contentType, body string) cssim.Effect {
	return cssim.Effect{Effect: fault.Effect{
		Status: status, Body: &body, Header: map[string]string{"Content-Type": contentType},
	}}
}
